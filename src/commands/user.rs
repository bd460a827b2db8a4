//! `admit user`: accounts of admins and staff. Passwords are read from standard input, never from arguments, which
//! other users of the machine could see.

use std::io::BufRead;

use clap::{Subcommand, ValueEnum};

use super::Outcome;
use crate::admin::{Role, password::Passwords, reset, users, users::NewUser};
use crate::config::DatabaseSettings;
use crate::platform::clock::Clock;
use crate::platform::pg::pool;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleName {
    SuperAdmin,
    Admin,
    Support,
    Staff,
}

#[derive(Subcommand)]
enum Command {
    /// Makes an account; the password is the first line of standard input.
    Add {
        username: String,
        #[arg(long, value_enum)]
        role: RoleName,
        /// Codes of the exhibitions it belongs to; none for super-admin.
        #[arg(long, value_delimiter = ',')]
        exhibitions: Vec<String>,
    },
    /// Sets a new password (first line of standard input) and ends all its sessions.
    Password { username: String },
    /// Forgets wrong passwords and codes that were tried on an account, so that nobody waits, and prints a link, good once and for 30
    /// minutes, by which its owner sets a password and gets in past whoever goes on guessing. A second factor stays.
    Unlock {
        username: String,
        /// Where the control room is reached, without a trailing slash.
        #[arg(long, env = "ADMIT_BASE_URL", default_value = "http://localhost:8080")]
        base_url: String,
    },
    /// Ends an account's sessions and refuses new ones.
    Disable { username: String },
    /// Lists all accounts.
    List,
}

pub async fn run(args: Args) -> Outcome {
    let database = args.database.check()?;
    let pool = pool(&database.database_url, 2, "admit user").map_err(super::said)?;
    let mut client = pool.get().await.map_err(|e| format!("DATABASE_URL: {e}"))?;
    let passwords = Passwords::default();
    match args.command {
        Command::Add { username, role, exhibitions } => {
            let role = match role {
                RoleName::SuperAdmin => Role::SuperAdmin,
                RoleName::Admin => Role::Admin,
                RoleName::Support => Role::Support,
                RoleName::Staff => Role::Staff,
            };
            let (username, password) = (username.as_str(), password()?);
            let user = NewUser { username, password: &password, role, exhibitions: &exhibitions };
            users::create(&mut client, &passwords, &user).await.map_err(super::said)?;
            println!("made {username}");
        }
        Command::Password { username } => {
            users::set_password(&mut client, &passwords, &username, &password()?).await.map_err(super::said)?;
            println!("changed {username}'s password");
        }
        Command::Unlock { username, base_url } => {
            let token = users::unlock(&mut client, &username, Clock::System.now()).await.map_err(super::said)?;
            println!("unlocked {username}; a password is set within 30 minutes at\n{}", reset::link(&base_url, &token));
        }
        Command::Disable { username } => {
            users::disable(&mut client, &username).await.map_err(super::said)?;
            println!("disabled {username}");
        }
        Command::List => {
            for user in users::list(&client).await.map_err(super::said)? {
                let state = if user.disabled { "disabled" } else { "active" };
                println!("{}\t{}\t{}\t{state}", user.username, user.role.as_str(), user.exhibitions.join(","));
            }
        }
    }
    Ok(())
}

fn password() -> Result<String, String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|e| format!("cannot read the password: {e}"))?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    if password.chars().count() < 12 { Err("a password has at least 12 characters".into()) } else { Ok(password) }
}
