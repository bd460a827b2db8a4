use std::path::PathBuf;

/// `NAME_FILE` may hold the path of a file with the value, as container platforms hand out secrets.
pub fn secret_files_into_env() -> Result<(), String> {
    for name in [
        "DATABASE_URL",
        "REDIS_URL",
        "ADMIT_SECRET",
        "ADMIT_DATA_KEYS",
        "TOSS_SECRET_KEY",
        "STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "ADMIT_MAIL",
    ] {
        let file = format!("{name}_FILE");
        if let Some(path) = std::env::var_os(&file) {
            if std::env::var_os(name).is_some() {
                return Err(format!("{name} and {file} are both set; keep one"));
            }
            let path = PathBuf::from(path);
            let value =
                std::fs::read_to_string(&path).map_err(|e| format!("{file}: cannot read {}: {e}", path.display()))?;
            FILE_SECRETS.lock().map_err(|e| e.to_string())?.push((name, value.trim().to_owned()));
        }
    }
    Ok(())
}

/// Values read from files: the process environment cannot be changed safely, so they are laid over what clap read.
static FILE_SECRETS: std::sync::Mutex<Vec<(&str, String)>> = std::sync::Mutex::new(Vec::new());

pub(super) fn from_file(name: &str) -> Option<String> {
    FILE_SECRETS.lock().ok()?.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone())
}
