use clap::Args;

/// How long personal data is kept. The least values are the law's (docs/decisions/0019-personal-data.md).
#[derive(Args, Clone)]
pub struct RetentionSettings {
    /// Names, phone numbers and addresses of paid orders, after their exhibition has ended: questions and complaints come
    /// within weeks. [days]
    #[arg(long = "keep-contacts-days", id = "keep_contacts_days", env = "ADMIT_KEEP_CONTACTS_DAYS", default_value_t = 90,
        value_parser = clap::value_parser!(i32).range(1..=1825))]
    pub contacts_days: i32,
    /// The same of orders that came to nothing (expired, cancelled, given back whole), after that. [days]
    #[arg(long = "keep-lapsed-days", id = "keep_lapsed_days", env = "ADMIT_KEEP_LAPSED_DAYS", default_value_t = 30,
        value_parser = clap::value_parser!(i32).range(1..=1825))]
    pub lapsed_days: i32,
    /// What leads from a payment to its payer, after the exhibition has ended; e-commerce act: 5. [years]
    #[arg(long = "keep-payments-years", id = "keep_payments_years", env = "ADMIT_KEEP_PAYMENTS_YEARS", default_value_t = 5,
        value_parser = clap::value_parser!(i32).range(5..=30))]
    pub payments_years: i32,
    /// Where and with what staff signed in; communications secrecy act: three months, at their longest 92. [days]
    #[arg(
        long = "keep-sign-ins-days",
        id = "keep_sign_ins_days",
        env = "ADMIT_KEEP_SIGN_INS_DAYS",
        default_value_t = 92,
        value_parser = clap::value_parser!(i32).range(92..=3650)
    )]
    pub sign_ins_days: i32,
    /// The audit log, which says who looked at whose data; safety standards of the personal information act: 2. [years]
    #[arg(long = "keep-audit-years", id = "keep_audit_years", env = "ADMIT_KEEP_AUDIT_YEARS", default_value_t = 2,
        value_parser = clap::value_parser!(i32).range(2..=30))]
    pub audit_years: i32,
    /// That somebody has asked for their data or its erasure, without who it was; e-commerce act, complaints: 3. [years]
    #[arg(long = "keep-requests-years", id = "keep_requests_years", env = "ADMIT_KEEP_REQUESTS_YEARS", default_value_t = 3,
        value_parser = clap::value_parser!(i32).range(3..=30))]
    pub requests_years: i32,
}

impl Default for RetentionSettings {
    fn default() -> RetentionSettings {
        RetentionSettings {
            contacts_days: 90,
            lapsed_days: 30,
            payments_years: 5,
            sign_ins_days: 92,
            audit_years: 2,
            requests_years: 3,
        }
    }
}
