//! Compiles `proto/` without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const ROOT: &str = "../../proto";
    const FILE: &str = "../../proto/penstock/control/v1/control.proto";
    println!("cargo::rerun-if-changed={ROOT}");

    let state = "#[serde(serialize_with = \"crate::json::state\")]";
    tonic_prost_build::configure()
        .message_attribute(".", "#[derive(serde::Serialize)]")
        .field_attribute("Source.state", state)
        .field_attribute("Capture.state", state)
        .field_attribute("Projection.state", state)
        .field_attribute("Service.state", state)
        .field_attribute("StatusReply.mode", "#[serde(serialize_with = \"crate::json::mode\")]")
        .compile_fds(protox::compile([FILE], [ROOT])?)?;
    Ok(())
}
