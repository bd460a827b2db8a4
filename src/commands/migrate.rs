//! `admit migrate`.

use super::Outcome;
use crate::config::DatabaseSettings;
use crate::platform::pg;

pub async fn run(settings: DatabaseSettings) -> Outcome {
    let applied = pg::migrate(&settings.database_url).await.map_err(super::said)?;
    for migration in &applied {
        println!("applied {migration}");
    }
    println!("the schema is up to date ({} applied now)", applied.len());
    Ok(())
}
