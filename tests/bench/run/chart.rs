//! A line chart as SVG: a logarithmic x axis, a y axis from 0, a legend. On white, so that it reads in any theme.

use std::fmt::Write;

/// What to draw.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    /// Names and points.
    pub(super) series: Vec<(&'a str, &'a [(u64, f64)])>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 430.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 96.0;
const BOTTOM: f64 = 66.0;
/// Told apart by people who do not see all colours, and by their marks.
const COLOURS: [&str; 3] = ["#0969da", "#bc4c00", "#57606a"];
const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif";

pub(super) fn draw(chart: &Chart<'_>) -> String {
    let points = || chart.series.iter().flat_map(|(_, points)| points.iter());
    let least = points().map(|(x, _)| *x).min().unwrap_or(1).max(1) as f64;
    let most = points().map(|(x, _)| *x).max().unwrap_or(10) as f64;
    let (step, top) = ticks(points().map(|(_, y)| *y).fold(0.0, f64::max));
    let (from, to) = (least.log10().floor(), most.log10().max(least.log10().floor() + 1.0));
    let x = |value: f64| LEFT + (value.log10() - from) / (to - from) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);

    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).expect("a String takes it");
        out.push('\n');
    };
    line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" font-family="{FONT}">"#
    ));
    line(format_args!("  <title>{}</title>", chart.title));
    line(format_args!(
        r##"  <rect x="1" y="1" width="{}" height="{}" rx="14" fill="#ffffff" stroke="#d0d7de"/>"##,
        WIDTH - 2.0,
        HEIGHT - 2.0
    ));
    line(format_args!(
        r##"  <text x="{LEFT}" y="36" font-size="16" font-weight="600" fill="#1f2328">{}</text>"##,
        chart.title
    ));

    // The grid, with what its lines stand for.
    line(format_args!(r##"  <g font-size="12" fill="#57606a" stroke-width="1">"##));
    let mut value = 0.0;
    while value <= top + step / 2.0 {
        let at = y(value);
        line(format_args!(r##"    <path d="M{LEFT} {at:.1}H{:.1}" stroke="#eaeef2"/>"##, WIDTH - RIGHT));
        let label = if step < 1.0 { format!("{value:.1}") } else { format!("{value:.0}") };
        line(format_args!(r#"    <text x="{}" y="{:.1}" text-anchor="end">{label}</text>"#, LEFT - 10.0, at + 4.0));
        value += step;
    }
    for exponent in from as i32..=to.floor() as i32 {
        let at = x(10f64.powi(exponent));
        line(format_args!(r##"    <path d="M{at:.1} {TOP}V{:.1}" stroke="#eaeef2"/>"##, HEIGHT - BOTTOM));
        let label = power(exponent);
        line(format_args!(
            r#"    <text x="{at:.1}" y="{:.1}" text-anchor="middle">{label}</text>"#,
            HEIGHT - BOTTOM + 20.0
        ));
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    line(format_args!(
        r#"    <text x="{middle:.1}" y="{:.1}" font-size="13" text-anchor="middle">{}</text>"#,
        HEIGHT - 20.0,
        chart.x
    ));
    line(format_args!(
        r#"    <text x="24" y="{:.1}" font-size="13" text-anchor="middle">{}</text>"#,
        TOP + (HEIGHT - TOP - BOTTOM) / 2.0,
        chart.y
    ));
    line(format_args!("  </g>"));

    // The lines, and above them the legend.
    let mut legend = LEFT;
    for (index, (name, points)) in chart.series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let path: Vec<String> =
            points.iter().map(|(size, micros)| format!("{:.1} {:.1}", x(*size as f64), y(*micros))).collect();
        line(format_args!(r#"  <path d="M{}" fill="none" stroke="{colour}" stroke-width="2.5"/>"#, path.join("L")));
        for (size, micros) in *points {
            let (at, height) = (x(*size as f64), y(*micros));
            line(format_args!("  {}", mark(index, at, height, colour)));
        }
        line(format_args!(
            r#"  <path d="M{legend:.1} 64h28" stroke="{colour}" stroke-width="2.5"/>{}"#,
            mark(index, legend + 14.0, 64.0, colour)
        ));
        line(format_args!(
            r##"  <text x="{:.1}" y="68.5" font-size="13" fill="#1f2328">{name}</text>"##,
            legend + 36.0
        ));
        // About the width of a character of that size.
        legend += 36.0 + name.chars().count() as f64 * 7.6 + 24.0;
    }
    line(format_args!("</svg>"));
    out
}

fn mark(index: usize, x: f64, y: f64, colour: &str) -> String {
    match index {
        0 => format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="{colour}"/>"#),
        1 => format!(r#"<rect x="{:.1}" y="{:.1}" width="8" height="8" fill="{colour}"/>"#, x - 4.0, y - 4.0),
        _ => format!(r#"<path d="M{x:.1} {:.1}l5 9h-10z" fill="{colour}"/>"#, y - 5.0),
    }
}

/// Distance between the lines of the grid, and where the axis ends.
fn ticks(most: f64) -> (f64, f64) {
    let rough = most.max(0.001) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    (step, (most / step).ceil().max(1.0) * step)
}

fn power(exponent: i32) -> String {
    match exponent {
        3 => "1,000".to_owned(),
        4 => "10,000".to_owned(),
        5 => "100,000".to_owned(),
        6 => "1 million".to_owned(),
        7 => "10 million".to_owned(),
        other => format!("10^{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_round_steps_and_room_for_the_highest_point() {
        assert_eq!(ticks(2.3), (0.5, 2.5));
        assert_eq!(ticks(10.0), (2.0, 10.0));
        assert_eq!(ticks(41.0), (10.0, 50.0));
    }

    #[test]
    fn each_series_is_drawn_and_named() {
        let points = [(1_000, 1.0), (1_000_000, 2.5)];
        let chart = Chart { title: "Title", x: "issues", y: "µs", series: vec![("one", &points), ("two", &points)] };
        let svg = draw(&chart);
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains(">one</text>") && svg.contains(">two</text>"));
        assert_eq!(svg.matches("<circle").count(), points.len() + 1, "marks of the first series, and its legend's");
    }
}
