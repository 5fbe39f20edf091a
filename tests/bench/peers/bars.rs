//! A bar chart as SVG: panels side by side, groups of bars in each, a legend. On white, so that it reads in any theme.

use std::fmt::Write;

use crate::common::figures::thousands;

/// What to draw.
pub(super) struct Bars<'a> {
    pub(super) title: &'a str,
    /// What the bars stand for, in the order of each group.
    pub(super) series: Vec<&'a str>,
    pub(super) panels: Vec<Panel>,
}

/// A part of the picture; all parts have the same scale.
pub(super) struct Panel {
    pub(super) title: String,
    /// What each group is called, and the heights of its bars; none where there is no such figure.
    pub(super) groups: Vec<(String, Vec<Option<f64>>)>,
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 136.0;
const BOTTOM: f64 = 46.0;
/// Between panels.
const GAP: f64 = 28.0;
const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif";
/// Blues and greens for Poppo, which comes first, and then pairs that people tell apart who do not see all colours.
const COLOURS: [&str; 9] =
    ["#0969da", "#54aeff", "#1a7f37", "#4ac26b", "#bc4c00", "#fb8f44", "#8250df", "#57606a", "#bf8700"];

pub(super) fn draw(bars: &Bars<'_>) -> String {
    let heights = bars.panels.iter().flat_map(|panel| panel.groups.iter().flat_map(|(_, bars)| bars.iter().flatten()));
    let (step, top) = ticks(heights.copied().fold(0.0, f64::max));
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
    let count = bars.panels.len().max(1) as f64;
    let width = (WIDTH - LEFT - RIGHT - GAP * (count - 1.0)) / count;

    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).expect("a String takes it");
        out.push('\n');
    };
    line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" font-family="{FONT}">"#
    ));
    line(format_args!("  <title>{}</title>", bars.title));
    line(format_args!(
        r##"  <rect x="1" y="1" width="{}" height="{}" rx="14" fill="#ffffff" stroke="#d0d7de"/>"##,
        WIDTH - 2.0,
        HEIGHT - 2.0
    ));
    line(format_args!(
        r##"  <text x="{LEFT}" y="36" font-size="16" font-weight="600" fill="#1f2328">{}</text>"##,
        bars.title
    ));
    let (mut legend, mut below) = (LEFT, 50.0);
    for (index, name) in bars.series.iter().enumerate() {
        // About the width of a character of that size.
        let width = 18.0 + name.chars().count() as f64 * 7.2;
        if legend + width > WIDTH - RIGHT {
            (legend, below) = (LEFT, below + 22.0);
        }
        line(format_args!(
            r#"  <rect x="{legend:.1}" y="{below}" width="12" height="12" rx="2" fill="{}"/>"#,
            colour(index)
        ));
        line(format_args!(
            r##"  <text x="{:.1}" y="{}" font-size="13" fill="#1f2328">{name}</text>"##,
            legend + 18.0,
            below + 11.0
        ));
        legend += width + 16.0;
    }

    for (place, panel) in bars.panels.iter().enumerate() {
        let left = LEFT + place as f64 * (width + GAP);
        line(format_args!(r##"  <g font-size="12" fill="#57606a" stroke-width="1">"##));
        line(format_args!(
            r##"    <text x="{left:.1}" y="{}" font-size="13" font-weight="600" fill="#1f2328">{}</text>"##,
            TOP - 30.0,
            panel.title
        ));
        let mut value = 0.0;
        while value <= top + step / 2.0 {
            let at = y(value);
            line(format_args!(r##"    <path d="M{left:.1} {at:.1}h{width:.1}" stroke="#eaeef2"/>"##));
            if place == 0 {
                let label = thousands(value.round() as u64);
                line(format_args!(
                    r#"    <text x="{}" y="{:.1}" text-anchor="end">{label}</text>"#,
                    LEFT - 10.0,
                    at + 4.0
                ));
            }
            value += step;
        }
        let group = width / panel.groups.len().max(1) as f64;
        for (number, (name, heights)) in panel.groups.iter().enumerate() {
            let from = left + group * number as f64;
            let bar = group * 0.86 / heights.len().max(1) as f64;
            line(format_args!(
                r#"    <text x="{:.1}" y="{}" text-anchor="middle">{name}</text>"#,
                from + group / 2.0,
                HEIGHT - BOTTOM + 20.0
            ));
            for (index, height) in heights.iter().enumerate() {
                let Some(height) = height else { continue };
                let at = from + group * 0.07 + bar * index as f64;
                line(format_args!(
                    r#"    <rect x="{at:.1}" y="{:.1}" width="{:.1}" height="{:.1}" fill="{}"><title>{}: {}</title></rect>"#,
                    y(*height),
                    bar - 1.0,
                    y(0.0) - y(*height),
                    colour(index),
                    bars.series.get(index).copied().unwrap_or_default(),
                    thousands(height.round() as u64)
                ));
            }
        }
        line(format_args!("  </g>"));
    }
    line(format_args!("</svg>"));
    out
}

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// Distance between the lines of the grid, and where the axis ends.
fn ticks(most: f64) -> (f64, f64) {
    let rough = most.max(1.0) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    (step, (most / step).ceil().max(1.0) * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_is_a_bar_and_what_is_missing_is_none() {
        let panel = |title: &str| Panel {
            title: title.to_owned(),
            groups: vec![("1 worker".to_owned(), vec![Some(10.0), None]), ("8".to_owned(), vec![Some(5.0), Some(2.0)])],
        };
        let bars = Bars { title: "Title", series: vec!["one", "two"], panels: vec![panel("left"), panel("right")] };
        let svg = draw(&bars);
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg.matches("<title>one: ").count(), 4);
        assert_eq!(svg.matches("<title>two: ").count(), 2);
    }
}
