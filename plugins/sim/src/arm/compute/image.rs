use serde_json::{Value, json};

use crate::arm::error::ArmError;
use crate::arm::request::{ArmCall, ArmReply, ArmResult};
use crate::arm::store::Arm;

/// Version that `latest` means for every image.
pub(crate) const VERSION: &str = "22.04.202511010";

/// Publisher, offer and sku of the images that are listed, with the generation of machines that
/// they are for.
const LISTED: [(&str, &str, &str, &str); 4] = [
    ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", "V2"),
    ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts", "V1"),
    ("Canonical", "ubuntu-24_04-lts", "server", "V2"),
    ("Debian", "debian-12", "12-gen2", "V2"),
];

/// Lists the versions of the image that the path names, or shows one.
pub(crate) fn image(arm: &Arm, call: &ArmCall, version: Option<&str>) -> ArmResult {
    let segment = |index: usize| call.segments.get(index).map_or("", String::as_str);
    let (location, publisher, offer, sku) = (segment(5), segment(7), segment(11), segment(13));
    let listed = LISTED.into_iter().find(|(its_publisher, its_offer, its_sku, _)| {
        its_publisher.eq_ignore_ascii_case(publisher)
            && its_offer.eq_ignore_ascii_case(offer)
            && its_sku.eq_ignore_ascii_case(sku)
    });
    let (publisher, offer, sku, generation) = listed.ok_or_else(not_found)?;
    let short = json!({
        "location": location,
        "name": VERSION,
        "id": format!(
            "/Subscriptions/{}/Providers/Microsoft.Compute/Locations/{location}/Publishers/{publisher}/ArtifactTypes/VMImage/Offers/{offer}/Skus/{sku}/Versions/{VERSION}",
            arm.subscription
        ),
    });
    match version {
        None => Ok(ArmReply::json(200, json!([short]))),
        Some(VERSION | "latest") => Ok(ArmReply::json(200, shown(short, generation))),
        Some(_) => Err(not_found()),
    }
}

/// Returns the 404 for an image or version that is not listed.
fn not_found() -> ArmError {
    ArmError::new(404, "NotFound", "Artifact: VMImage was not found.")
}

/// Adds the properties of one image to its short form.
fn shown(mut image: Value, generation: &str) -> Value {
    image["properties"] = json!({
        "hyperVGeneration": generation,
        "architecture": "x64",
        "replicaType": "Managed",
        "disallowed": { "vmDiskType": "Unmanaged" },
        "automaticOSUpgradeProperties": { "automaticOSUpgradeSupported": true },
        "imageDeprecationStatus": { "imageState": "Active" },
        "osDiskImage": { "operatingSystem": "Linux", "sizeInGb": 31 },
        "dataDiskImages": [],
    });
    image
}
