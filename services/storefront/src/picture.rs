//! Pictures of products, drawn from their attributes.

use maud::{Markup, html};

/// What a picture is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    shape: Shape,
    hue: i16,
    pattern: Pattern,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Mug,
    Kettle,
    Lantern,
    Bell,
    Rope,
    Logbook,
    Gauge,
    Buoy,
    /// A shape of a newer shop: a plain crate.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    Plain,
    Band,
    Dots,
}

/// Three tones of one hue.
struct Tones {
    body: String,
    dark: String,
    light: String,
}

impl Look {
    /// Reads the attributes; what is not known is drawn as a crate.
    pub(crate) fn new(shape: &str, hue: i16, pattern: &str) -> Self {
        let shape = match shape {
            "mug" => Shape::Mug,
            "kettle" => Shape::Kettle,
            "lantern" => Shape::Lantern,
            "bell" => Shape::Bell,
            "rope" => Shape::Rope,
            "logbook" => Shape::Logbook,
            "gauge" => Shape::Gauge,
            "buoy" => Shape::Buoy,
            _ => Shape::Unknown,
        };
        let pattern = match pattern {
            "band" => Pattern::Band,
            "dots" => Pattern::Dots,
            _ => Pattern::Plain,
        };
        Self { shape, hue: hue.rem_euclid(360), pattern }
    }

    /// Draws it. Beside it stands its name, so it is hidden from who cannot see it.
    pub(crate) fn picture(self) -> Markup {
        let tone = |saturation: u8, light: u8| format!("hsl({} {saturation}% {light}%)", self.hue);
        let tones = Tones { body: tone(46, 52), dark: tone(44, 38), light: tone(55, 76) };
        html! {
            svg.picture viewBox="0 0 120 96" aria-hidden="true" {
                ellipse.ground cx="60" cy="85" rx="36" ry="4" {}
                @match self.shape {
                    Shape::Mug => (mug(&tones, self.pattern)),
                    Shape::Kettle => (kettle(&tones, self.pattern)),
                    Shape::Lantern => (lantern(&tones, self.pattern)),
                    Shape::Bell => (bell(&tones, self.pattern)),
                    Shape::Rope => (rope(&tones, self.pattern)),
                    Shape::Logbook => (logbook(&tones, self.pattern)),
                    Shape::Gauge => (gauge(&tones, self.pattern)),
                    Shape::Buoy => (buoy(&tones, self.pattern)),
                    Shape::Unknown => rect x="34" y="38" width="52" height="46" rx="3" fill=(tones.body) {},
                }
            }
        }
    }
}

/// A stroke of metal or wood that is the same on everything.
const WIRE: &str = "#8a8f98";

fn dots(tones: &Tones, places: &[(u8, u8)]) -> Markup {
    html! { @for (x, y) in places { circle cx=(x) cy=(y) r="3" fill=(tones.light) {} } }
}

fn mug(tones: &Tones, pattern: Pattern) -> Markup {
    html! {
        path d="M77 42h7a12 12 0 0 1 0 26h-7" fill="none" stroke=(tones.dark) stroke-width="6" {}
        path d="M36 30h44v44a10 10 0 0 1-10 10H46a10 10 0 0 1-10-10z" fill=(tones.body) {}
        path d="M36 30h10v54a10 10 0 0 1-10-10z" fill=(tones.dark) opacity=".35" {}
        ellipse cx="58" cy="30" rx="22" ry="5" fill=(tones.dark) {}
        @match pattern {
            Pattern::Plain => {}
            Pattern::Band => path d="M36 50h44v12H36z" fill=(tones.light) {},
            Pattern::Dots => (dots(tones, &[(46, 46), (58, 52), (70, 46), (46, 66), (58, 72), (70, 66)])),
        }
    }
}

fn kettle(tones: &Tones, pattern: Pattern) -> Markup {
    html! {
        path d="M43 42C43 14 77 14 77 42" fill="none" stroke=(WIRE) stroke-width="5" {}
        path d="M84 66c10-2 12-16 20-24l5 4c-8 8-8 26-22 32z" fill=(tones.dark) {}
        path d="M40 38h40c8 10 12 24 12 34 0 8-6 12-14 12H42c-8 0-14-4-14-12 0-10 4-24 12-34z" fill=(tones.body) {}
        path d="M40 38h8c-7 12-9 30-6 46-8 0-14-4-14-12 0-10 4-24 12-34z" fill=(tones.dark) opacity=".35" {}
        path d="M44 38a16 8 0 0 1 32 0z" fill=(tones.dark) {}
        circle cx="60" cy="28" r="4" fill=(tones.dark) {}
        @match pattern {
            Pattern::Plain => {}
            Pattern::Band => path d="M29.500 62h61l1.500 10H28z" fill=(tones.light) {},
            Pattern::Dots => (dots(tones, &[(48, 54), (60, 60), (72, 54), (42, 68), (54, 74), (66, 74), (78, 68)])),
        }
    }
}

fn lantern(tones: &Tones, pattern: Pattern) -> Markup {
    html! {
        path d="M44 30C44 4 76 4 76 30" fill="none" stroke=(WIRE) stroke-width="4" {}
        path d="M46 26h28l6 12H40z" fill=(tones.dark) {}
        path d="M43 38h34l4 34H39z" fill="hsl(46 90% 84%)" {}
        path d="M60 44c7 9 8 13 8 16a8 8 0 0 1-16 0c0-3 1-7 8-16z" fill="hsl(32 92% 58%)" {}
        path d="M60 54c3 4 4 6 4 8a4 4 0 0 1-8 0c0-2 1-4 4-8z" fill="hsl(50 96% 72%)" {}
        path d="M47 38l-4 34M73 38l4 34" stroke=(tones.dark) stroke-width="3" {}
        path d="M36 72h48v8a4 4 0 0 1-4 4H40a4 4 0 0 1-4-4z" fill=(tones.body) {}
        @if pattern != Pattern::Plain { path d="M36 75h48v4H36z" fill=(tones.light) {} }
    }
}

fn bell(tones: &Tones, pattern: Pattern) -> Markup {
    html! {
        path d="M52 20a8 8 0 0 1 16 0" fill="none" stroke=(WIRE) stroke-width="4" {}
        circle cx="60" cy="80" r="6" fill=(tones.dark) {}
        path d="M60 20c16 0 20 14 21 30 1 12 4 18 11 24v4H28v-4c7-6 10-12 11-24 1-16 5-30 21-30z" fill=(tones.body) {}
        path d="M54 21c-10 3-13 15-14 29-1 12-5 18-12 24v4h16c6-18-1-38 10-57z" fill=(tones.dark) opacity=".35" {}
        path d="M28 74h64v4H28z" fill=(tones.dark) {}
        @if pattern != Pattern::Plain { path d="M40 46h40.800l.8 8H39z" fill=(tones.light) {} }
    }
}

fn rope(tones: &Tones, pattern: Pattern) -> Markup {
    let strand = if pattern == Pattern::Plain { &tones.dark } else { &tones.light };
    html! {
        @for y in [76, 64, 52, 40] {
            ellipse cx="60" cy=(y) rx="32" ry="10" fill="none" stroke=(tones.body) stroke-width="11" {}
            ellipse cx="60" cy=(y) rx="32" ry="10" fill="none" stroke=(strand) stroke-width="11" stroke-dasharray="3 9" opacity=".7" {}
        }
        path d="M90 38c8-8 12 2 18-6" fill="none" stroke=(tones.body) stroke-width="8" stroke-linecap="round" {}
    }
}

fn logbook(tones: &Tones, pattern: Pattern) -> Markup {
    html! {
        path d="M38 22h46a4 4 0 0 1 4 4v54a4 4 0 0 1-4 4H38z" fill="#f4efe2" {}
        path d="M84 28v52M81 28v52" stroke="#cfc8b5" stroke-width="1" {}
        path d="M32 26a6 6 0 0 1 6-6h40v58H38a6 6 0 0 0-6 6z" fill=(tones.body) {}
        path d="M32 26a6 6 0 0 1 6-6h4v58h-4a6 6 0 0 0-6 6z" fill=(tones.dark) {}
        @match pattern {
            Pattern::Plain => rect x="50" y="32" width="20" height="9" rx="1" fill=(tones.light) {},
            Pattern::Band => { rect x="50" y="32" width="20" height="9" rx="1" fill=(tones.light) {} path d="M68 20h5v58h-5z" fill=(tones.dark) {} }
            Pattern::Dots => (dots(tones, &[(52, 32), (66, 32), (59, 45), (52, 58), (66, 58)])),
        }
    }
}

fn gauge(tones: &Tones, pattern: Pattern) -> Markup {
    html! {
        path d="M52 72h16v12H52z" fill=(tones.dark) {}
        circle cx="60" cy="46" r="32" fill=(tones.body) {}
        circle cx="60" cy="46" r="25" fill="#f7f5ef" {}
        @if pattern != Pattern::Plain {
            path d="M41 57a22 22 0 0 1 8-31" fill="none" stroke=(tones.light) stroke-width="5" {}
        }
        path d="M40 58l4-2.300M37 46h5M40 34l4 2.300M48 25l2.400 4M60 22v5M72 25l-2.400 4M80 34l-4 2.300M83 46h-5M80 58l-4-2.300" stroke="#5b6069" stroke-width="2" {}
        path d="M60 46l13-11" stroke="#c2362b" stroke-width="3" stroke-linecap="round" {}
        circle cx="60" cy="46" r="4" fill=(tones.dark) {}
    }
}

fn buoy(tones: &Tones, pattern: Pattern) -> Markup {
    html! {
        path d="M60 12v18" stroke=(WIRE) stroke-width="4" {}
        circle cx="60" cy="13" r="5" fill=(tones.dark) {}
        path d="M50 30h20l16 40H34z" fill=(tones.body) {}
        path d="M50 30h7L44 70H34z" fill=(tones.dark) opacity=".35" {}
        @match pattern {
            Pattern::Plain => {}
            Pattern::Band => path d="M45.200 42h29.600l5.200 13H40z" fill=(tones.light) {},
            Pattern::Dots => (dots(tones, &[(60, 40), (52, 52), (68, 52), (60, 62)])),
        }
        path d="M26 70h68c0 9-8 14-16 14H42c-8 0-16-5-16-14z" fill=(tones.dark) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_any_kind_make_a_picture_without_their_text() {
        for shape in ["mug", "bell", "<script>"] {
            let drawn = Look::new(shape, -30, "<b>").picture().into_string();
            assert!(drawn.contains("hsl(330") && !drawn.contains('\u{0}'), "{drawn}");
            assert!(!drawn.contains("script"), "{drawn}");
        }
    }
}
