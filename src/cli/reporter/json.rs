use stargate::event::Event;

use super::Show;
use crate::cli::ui;

/// One line of JSON for every event.
pub(super) struct Json;

impl Show for Json {
    fn event(&mut self, event: &Event) {
        ui::out_json(event);
    }
}
