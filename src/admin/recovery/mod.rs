//! Recovery codes: ten, made with a second factor and shown once, for whoever has lost their phone. Each opens once. Ten
//! digits, so that they are typed where codes are typed; guessed they are not, since wrong ones are counted.

pub mod pg;

use deadpool_postgres::GenericClient;

use crate::app::App;
use crate::error::Result;
use crate::platform::ids::random_bytes;
use crate::platform::secrets::Purpose;

const CODES: usize = 10;
pub const DIGITS: usize = 10;

fn digest(app: &App, user_id: i32, digits: &str) -> [u8; 32] {
    app.secrets.mac(Purpose::RecoveryCode, &[&user_id.to_be_bytes(), digits.as_bytes()])
}

/// New ones, in a transaction; those of before are void.
pub async fn make(app: &App, client: &impl GenericClient, user_id: i32) -> Result<Vec<String>> {
    let fresh = || format!("{:010}", u64::from_be_bytes(random_bytes()) % 10_000_000_000);
    let codes: Vec<String> = std::iter::repeat_with(fresh).take(CODES).collect();
    let digests: Vec<[u8; 32]> = codes.iter().map(|code| digest(app, user_id, code)).collect();
    pg::remove(client, user_id).await?;
    pg::add(client, user_id, &digests.iter().map(<[u8; 32]>::as_slice).collect::<Vec<_>>()).await?;
    Ok(codes.iter().map(|code| format!("{}-{}", &code[..5], &code[5..])).collect())
}

/// How many are left after this one; None: it is none, or was used.
pub async fn spend(app: &App, client: &impl GenericClient, user_id: i32, digits: &str) -> Result<Option<i64>> {
    if !pg::spend(client, user_id, &digest(app, user_id, digits)).await? {
        return Ok(None);
    }
    pg::left(client, user_id).await.map(Some)
}
