//! Who owns what, as a picture. Written directly: no drawing library, and the same bytes each time.

use crate::map::{Row, cores, interrupts, network, ram, virtio};
use crate::plan::Plan;
use addr::ByteSize;
use std::fmt::Write;

const WIDTH: usize = 760;
const MARGIN: usize = 24;
/// Colours that stay apart in print and for colour-blind eyes; partitions take them in turn.
const COLOURS: [&str; 8] = ["#88ccee", "#ddcc77", "#44aa99", "#cc6677", "#999933", "#aa88cc", "#ee9977", "#77aadd"];
const HYPERVISOR: &str = "#9a9a9a";
const FREE: &str = "#f2f2f2";

/// The picture.
pub fn picture(plan: &Plan) -> String {
    let mut out = String::new();
    let mut y = MARGIN + 18;
    text(&mut out, MARGIN, y, 18, "bold", &title(plan));
    y = core_row(&mut out, plan, y + 34);
    y = memory(&mut out, plan, y + 40);
    y = pairs(&mut out, "Interrupts", interrupts(plan), y + 36);
    let devices = virtio(plan);
    if !devices.is_empty() {
        y = pairs(&mut out, "Virtio devices", devices, y + 36);
    }
    let network = network(plan);
    if !network.is_empty() {
        y = pairs(&mut out, "Network", network, y + 36);
    }
    let height = y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" fill=\"#222\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n{out}</svg>\n"
    )
}

fn title(plan: &Plan) -> String {
    let machine = plan.system.machine;
    format!("{}: {} cores, {} of RAM", plan.platform.board.name, machine.cores, ByteSize(machine.memory))
}

fn text(out: &mut String, x: usize, y: usize, size: usize, weight: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" font-weight=\"{weight}\">{words}</text>");
}

fn boxed(out: &mut String, x: usize, y: usize, width: usize, height: usize, fill: &str) {
    let _ = writeln!(
        out,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"3\" fill=\"{fill}\" stroke=\"#444\"/>"
    );
}

fn colour(partition: usize) -> &'static str {
    COLOURS[partition % COLOURS.len()]
}

fn core_row(out: &mut String, plan: &Plan, y: usize) -> usize {
    text(out, MARGIN, y, 14, "bold", "Cores");
    let owners = cores(plan);
    let per_row = owners.len().clamp(1, 8);
    let width = (WIDTH - 2 * MARGIN) / per_row;
    let mut bottom = y;
    for (core, owner) in owners.iter().enumerate() {
        let (x, top) = (MARGIN + core % per_row * width, y + 12 + core / per_row * 52);
        let (fill, words) = match owner {
            Some((place, vcpu)) => (colour(*place), format!("{} v{vcpu}", plan.system.partitions[*place].name)),
            None => (FREE, "free".to_owned()),
        };
        boxed(out, x, top, width - 6, 46, fill);
        text(out, x + 8, top + 19, 12, "bold", &format!("core {core}"));
        text(out, x + 8, top + 36, 12, "normal", &words);
        bottom = top + 46;
    }
    bottom
}

fn memory(out: &mut String, plan: &Plan, y: usize) -> usize {
    text(out, MARGIN, y, 14, "bold", "RAM (highest first, not to scale)");
    let mut top = y + 12;
    for Row { region, owner, partition } in ram(plan).iter().rev() {
        let (fill, words) = match partition {
            Some(place) => (colour(*place), owner.as_str()),
            None if owner == "-" => (FREE, "free"),
            None => (HYPERVISOR, owner.trim_matches(['(', ')'])),
        };
        // Larger ranges are taller, but a page is still readable.
        let height = 26 + 4 * (region.size() >> 20).checked_ilog2().unwrap_or(0) as usize;
        boxed(out, MARGIN, top, WIDTH - 2 * MARGIN, height, fill);
        let middle = top + height / 2 + 5;
        text(out, MARGIN + 10, middle, 13, "bold", words);
        text(out, 300, middle, 12, "normal", &region.to_string());
        text(out, 610, middle, 12, "normal", &ByteSize(region.size()).to_string());
        top += height + 2;
    }
    top
}

/// What, and whose it is.
fn pairs(out: &mut String, title: &str, rows: Vec<(String, String)>, y: usize) -> usize {
    text(out, MARGIN, y, 14, "bold", title);
    let mut bottom = y;
    for (what, owner) in rows {
        bottom += 20;
        text(out, MARGIN, bottom, 12, "normal", &what);
        text(out, 300, bottom, 12, "normal", owner.trim_matches(['(', ')']));
    }
    bottom
}
