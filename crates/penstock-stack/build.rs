//! Lets the program find the prebuilt libduckdb at run time.

#[expect(clippy::disallowed_methods, reason = "a build script's input is its environment")]
fn main() {
    println!("cargo::rerun-if-env-changed=DUCKDB_LIB_DIR");
    if let Ok(directory) = std::env::var("DUCKDB_LIB_DIR") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{directory}");
    }
}
