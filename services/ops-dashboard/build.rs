//! Lets the browser's suite, which is every service of a stack too, find the prebuilt libduckdb at run
//! time. The service itself needs none.

#[expect(clippy::disallowed_methods, reason = "a build script's input is its environment")]
fn main() {
    println!("cargo::rerun-if-env-changed=DUCKDB_LIB_DIR");
    if let Ok(directory) = std::env::var("DUCKDB_LIB_DIR") {
        println!("cargo::rustc-link-arg-tests=-Wl,-rpath,{directory}");
    }
}
