use stargate::event::Event;

use super::EventView;
use crate::cli::ui;

/// One line of JSON for every event.
pub(super) struct JsonView;

impl EventView for JsonView {
    fn event(&mut self, event: &Event) {
        ui::out_json(event);
    }
}
