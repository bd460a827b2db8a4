fn main() {
    // Migrations and message files are embedded by macros that cargo cannot see through.
    println!("cargo:rerun-if-changed=sql/migrations");
    println!("cargo:rerun-if-changed=web");
    println!("cargo:rerun-if-changed=lua");
}
