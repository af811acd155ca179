// SPDX-License-Identifier: Apache-2.0
//! The picture of a run as SVG: cost as a ratio to nginx, latency at a fixed rate, memory.
//!
//! Every bar carries its figure, so that nothing has to be read off an axis.

use std::fmt::Write;

use crate::peer::Peer;
use crate::summary::{Cost, Idle, Latency, Line, Summary};
use crate::workload::Speech;

/// Draws the figures.
pub fn draw(summary: &Summary) -> String {
    let mut canvas = Canvas { body: String::new(), y: 34.0 };
    canvas.title("CPU, latency and memory of one proxy core");
    if let Some(facts) = &summary.facts {
        let machine = &facts.machine;
        let tree = format!("{} · commit {} · {} rounds of {} s", facts.date, facts.commit, facts.rounds, facts.seconds);
        canvas.note(&tree);
        canvas.note(&format!(
            "{}, {} cores · Linux {} · {}",
            machine.processor, machine.cores, machine.kernel, machine.system
        ));
        // Every program names itself in what it says of its version.
        for (peer, version) in &facts.versions {
            canvas.legend(*peer, version);
        }
    }
    draw_costs(&mut canvas, &summary.lines);
    draw_latencies(&mut canvas, &summary.lines);
    draw_memory(&mut canvas, &summary.idle);
    canvas.finish()
}

fn draw_costs(canvas: &mut Canvas, lines: &[Line]) {
    let costs: Vec<(&Line, &Cost)> = lines.iter().filter_map(|line| Some((line, line.cost.as_ref()?))).collect();
    if costs.is_empty() {
        return;
    }
    canvas.heading("CPU for each request or event: bar and first figure are the ratio to nginx; a dot for each slice");
    let largest = costs.iter().filter_map(|(_, cost)| cost.ratio).fold(1.0, f64::max);
    let scale = BAR_WIDTH / (largest * 1.1);
    let top = canvas.y;
    let mut case = "";
    for (line, cost) in costs {
        canvas.case(&line.case, &mut case);
        let Some(ratio) = cost.ratio else { continue };
        canvas.bar(line.peer, ratio * scale);
        for each in &cost.each_us {
            canvas.dot(each / cost.cpu_us * ratio * scale);
        }
        let (cpu_us, kept, measured) = (cost.cpu_us, cost.kept, cost.measured);
        canvas.label(&format!("{ratio:.2} · {cpu_us:.1} µs · {} {kept}/{measured}", cost.class));
    }
    canvas.rule(scale, top);
}

fn draw_latencies(canvas: &mut Canvas, lines: &[Line]) {
    let latencies: Vec<(&Line, &Latency)> =
        lines.iter().filter_map(|line| Some((line, line.latency.as_ref()?))).collect();
    let shortest = latencies.iter().map(|(_, latency)| latency.p50_us).fold(f64::INFINITY, f64::min).max(1.0);
    let longest = latencies.iter().map(|(_, latency)| latency.p999_us).fold(shortest * 2.0, f64::max);
    if latencies.is_empty() {
        return;
    }
    canvas.heading("Latency at a fixed rate from the time a request was due: p50, p99 and p99.9 on a logarithmic axis");
    // The axis begins left of the shortest, so that its mark is not hidden in the margin.
    let (start, decades) = (shortest.log10() - 0.1, longest.log10() - shortest.log10() + 0.15);
    let place = |us: f64| (us.max(1.0).log10() - start) / decades * BAR_WIDTH;
    let mut case = "";
    for (line, latency) in latencies {
        canvas.case(&line.case, &mut case);
        canvas.range(line.peer, [place(latency.p50_us), place(latency.p99_us), place(latency.p999_us)]);
        let Latency { p50_us, p99_us, p999_us, per_second, .. } = latency;
        canvas.label(&format!("{p50_us:.0} / {p99_us:.0} / {p999_us:.0} µs · at {per_second}/s"));
    }
}

fn draw_memory(canvas: &mut Canvas, idle: &[Idle]) {
    let largest = idle.iter().map(|idle| idle.held_kib).fold(1.0, f64::max);
    let mut shown = None;
    for idle in idle {
        if shown.replace(idle.speech) != Some(idle.speech) {
            let speech = match idle.speech {
                Speech::Http1 => "HTTP/1.1",
                Speech::Http2Tls => "HTTP/2 over TLS",
            };
            canvas.heading(&format!("Resident memory with {} idle connections of {speech}", idle.connections));
        }
        canvas.bar(idle.peer, idle.held_kib / largest * BAR_WIDTH);
        let (held, grown) = (idle.held_kib / 1024.0, idle.bytes_with_tables);
        canvas.label(&format!("{held:.1} MiB · {grown:.0} B for each connection"));
    }
}

/// An SVG that grows downwards.
struct Canvas {
    body: String,
    y: f64,
}

impl Canvas {
    fn title(&mut self, text: &str) {
        self.text(24.0, text, "font-size='18' font-weight='bold'");
        self.y += 22.0;
    }

    fn note(&mut self, text: &str) {
        self.text(24.0, text, "fill='#495057'");
        self.y += 17.0;
    }

    fn heading(&mut self, text: &str) {
        self.y += 26.0;
        self.text(24.0, text, "font-size='13' font-weight='bold'");
        self.y += 12.0;
    }

    fn legend(&mut self, peer: Peer, version: &str) {
        let top = self.y - 10.0;
        self.push(&format!("<rect x='24' y='{top:.1}' width='12' height='12' fill='{}'/>", colour(peer)));
        self.text(42.0, version, "fill='#495057'");
        self.y += 17.0;
    }

    /// Begins a row; the name of the case stands before its first.
    fn case<'a>(&mut self, name: &'a str, last: &mut &'a str) {
        if *last != name {
            self.y += 8.0;
            let baseline = self.y;
            self.y += 11.0;
            self.text(24.0, name, "");
            self.y = baseline;
            *last = name;
        }
    }

    fn bar(&mut self, peer: Peer, width: f64) {
        let top = self.y;
        let fill = colour(peer);
        self.push(&format!("<rect x='{LEFT}' y='{top:.1}' width='{width:.1}' height='13' fill='{fill}'/>"));
    }

    fn dot(&mut self, at: f64) {
        let (x, y) = (LEFT + at.min(BAR_WIDTH), self.y + 6.5);
        self.push(&format!("<circle cx='{x:.1}' cy='{y:.1}' r='1.8' fill='#212529' fill-opacity='0.55'/>"));
    }

    fn range(&mut self, peer: Peer, places: [f64; 3]) {
        let (y, fill) = (self.y + 6.5, colour(peer));
        let [first, middle, last] = places.map(|place| LEFT + place);
        self.push(&format!("<path d='M{first:.1} {y:.1}H{last:.1}' stroke='{fill}' stroke-width='2'/>"));
        for (x, radius) in [(first, 5.0), (middle, 4.0), (last, 2.5)] {
            self.push(&format!("<circle cx='{x:.1}' cy='{y:.1}' r='{radius}' fill='{fill}'/>"));
        }
    }

    /// The figures of a row, right of the bars; ends the row.
    fn label(&mut self, text: &str) {
        self.y += 11.0;
        self.text(LEFT + BAR_WIDTH + 10.0, text, "");
        self.y += 4.0;
    }

    /// A line from `top` to here where the ratio is one.
    fn rule(&mut self, at: f64, top: f64) {
        let (x, bottom) = (LEFT + at, self.y);
        self.push(&format!("<path d='M{x:.1} {top:.1}V{bottom:.1}' stroke='#212529' stroke-dasharray='3 3'/>"));
    }

    fn text(&mut self, x: f64, text: &str, attributes: &str) {
        let y = self.y;
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.push(&format!("<text x='{x}' y='{y:.1}' {attributes}>{text}</text>"));
    }

    fn push(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    fn finish(self) -> String {
        let height = self.y + 24.0;
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height:.0}' \
             viewBox='0 0 {WIDTH} {height:.0}' font-family='sans-serif' font-size='12' fill='#212529'>\n\
             <rect width='100%' height='100%' fill='#ffffff'/>\n{}</svg>\n",
            self.body
        );
        text
    }
}

fn colour(peer: Peer) -> &'static str {
    match peer {
        Peer::Turnpike => "#0c8599",
        Peer::Nginx => "#adb5bd",
        Peer::Haproxy => "#e8b04b",
        Peer::Copier => "#dee2e6",
    }
}

const WIDTH: f64 = 940.0;

/// Where the bars begin.
const LEFT: f64 = 160.0;

/// The longest bar.
const BAR_WIDTH: f64 = 500.0;

#[cfg(test)]
mod tests {
    use super::draw;
    use crate::summary::Summary;

    #[test]
    fn an_empty_run_is_an_empty_picture() {
        let text = draw(&Summary::of(&[]));
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        assert_eq!(text.matches("<rect").count(), 1);
    }
}
