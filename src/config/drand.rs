use clap::Args;

// drand, the public randomness that draws can rest on. The defaults are its network quicknet; another network must be
// of the same kind (`bls-unchained-g1-rfc9380`).
#[derive(Args, Clone)]
pub struct DrandSettings {
    /// HTTP API of the drand network, or of a relay: what it says is verified, so it need not be trusted.
    #[arg(long, env = "ADMIT_DRAND_URL", default_value = "https://api.drand.sh")]
    pub drand_url: String,
    /// The network, by the hash of its chain. [64 hex digits]
    #[arg(long, env = "ADMIT_DRAND_CHAIN", default_value = QUICKNET_CHAIN)]
    pub drand_chain: String,
    /// Its public key: rounds it has not signed are not believed. [192 hex digits]
    #[arg(long, env = "ADMIT_DRAND_PUBLIC_KEY", default_value = QUICKNET_PUBLIC_KEY)]
    pub drand_public_key: String,
    /// When its first round was made. [unix seconds]
    #[arg(long, env = "ADMIT_DRAND_GENESIS_S", default_value_t = 1_692_803_367)]
    pub drand_genesis_s: i64,
    /// Time between rounds. [seconds]
    #[arg(long, env = "ADMIT_DRAND_PERIOD_S", default_value_t = 3)]
    pub drand_period_s: i64,
}

const QUICKNET_CHAIN: &str = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971";
const QUICKNET_PUBLIC_KEY: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c\
    8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb\
    5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a";

impl Default for DrandSettings {
    fn default() -> DrandSettings {
        DrandSettings {
            drand_url: "https://api.drand.sh".into(),
            drand_chain: QUICKNET_CHAIN.into(),
            drand_public_key: QUICKNET_PUBLIC_KEY.into(),
            drand_genesis_s: 1_692_803_367,
            drand_period_s: 3,
        }
    }
}

impl DrandSettings {
    pub(super) fn check(&self) -> Result<(), String> {
        let url = reqwest::Url::parse(&self.drand_url).map_err(|e| format!("ADMIT_DRAND_URL is malformed: {e}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("ADMIT_DRAND_URL must be http(s)://host/…".into());
        }
        let hex = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex(&self.drand_chain, 64) {
            return Err("ADMIT_DRAND_CHAIN must be 64 hex digits".into());
        }
        if !hex(&self.drand_public_key, 192) {
            return Err("ADMIT_DRAND_PUBLIC_KEY must be 192 hex digits".into());
        }
        if self.drand_genesis_s < 0 || !(1..=3600).contains(&self.drand_period_s) {
            return Err("ADMIT_DRAND_GENESIS_S must not be negative, ADMIT_DRAND_PERIOD_S between 1 and 3600".into());
        }
        Ok(())
    }
}
