//! Lets this crate's own tests and examples find the prebuilt libduckdb at run time. Binaries that
//! ship it carry the same two lines in a build script of their own.

#[expect(clippy::disallowed_methods, reason = "a build script's input is its environment")]
fn main() {
    println!("cargo::rerun-if-env-changed=DUCKDB_LIB_DIR");
    if let Ok(directory) = std::env::var("DUCKDB_LIB_DIR") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{directory}");
    }
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
}
