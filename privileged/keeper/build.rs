//! The build time, the earliest time that the governor ever lets the clock show.
//! SOURCE_DATE_EPOCH makes builds repeatable.
fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let built =
        std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(now);
    println!("cargo::rustc-env=TRUECHIMER_BUILD_TIME={built}");
}
