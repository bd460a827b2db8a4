use clap::Args;

/// Who sells, as the Korean e-commerce act wants it in the foot of every page. Left empty, nothing is shown.
#[derive(Args, Clone, Default)]
pub struct SellerSettings {
    /// Name of the business (상호).
    #[arg(long = "seller-name", id = "seller_name", env = "ADMIT_SELLER_NAME", default_value = "")]
    pub name: String,
    /// Its representative (대표자).
    #[arg(
        long = "seller-representative",
        id = "seller_representative",
        env = "ADMIT_SELLER_REPRESENTATIVE",
        default_value = ""
    )]
    pub representative: String,
    /// Business registration number (사업자등록번호).
    #[arg(
        long = "seller-registration",
        id = "seller_registration",
        env = "ADMIT_SELLER_REGISTRATION",
        default_value = ""
    )]
    pub registration: String,
    /// Mail-order business report number (통신판매업 신고번호).
    #[arg(long = "seller-mail-order", id = "seller_mail_order", env = "ADMIT_SELLER_MAIL_ORDER", default_value = "")]
    pub mail_order: String,
    #[arg(long = "seller-address", id = "seller_address", env = "ADMIT_SELLER_ADDRESS", default_value = "")]
    pub address: String,
    #[arg(long = "seller-phone", id = "seller_phone", env = "ADMIT_SELLER_PHONE", default_value = "")]
    pub phone: String,
    #[arg(long = "seller-email", id = "seller_email", env = "ADMIT_SELLER_EMAIL", default_value = "")]
    pub email: String,
    /// Who runs the servers (호스팅 서비스 제공자).
    #[arg(long = "seller-hosting", id = "seller_hosting", env = "ADMIT_SELLER_HOSTING", default_value = "")]
    pub hosting: String,
}
