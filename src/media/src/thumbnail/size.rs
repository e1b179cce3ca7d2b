//! Which thumbnails there are: a few sizes, so that nobody can have thousands made of one image
//! ("Thumbnails" of the client-server API).

use crate::error::ThumbnailError;

/// How an image is made to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// All of the image, within the size.
    Scale,
    /// The middle of the image, in the shape of the size.
    Crop,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub struct ThumbnailAsk {
    pub width: u32,
    pub height: u32,
    pub method: Method,
    pub animated: bool,
}

/// Pixels each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

/// A size that holds any image: it is not scaled.
const UNSCALED: Size = Size::new(u16::MAX as u32, u16::MAX as u32);

const SCALED: [Size; 4] = [
    Size::new(320, 240),
    Size::new(640, 480),
    Size::new(800, 600),
    Size::new(1600, 1200),
];

/// Squares for avatars, and the shapes of screens.
const CROPPED: [Size; 18] = [
    Size::new(32, 32),
    Size::new(96, 96),
    Size::new(192, 192),
    Size::new(320, 320),
    Size::new(640, 640),
    Size::new(960, 960),
    Size::new(320, 240),
    Size::new(640, 480),
    Size::new(800, 600),
    Size::new(240, 320),
    Size::new(480, 640),
    Size::new(600, 800),
    Size::new(320, 180),
    Size::new(640, 360),
    Size::new(1280, 720),
    Size::new(180, 320),
    Size::new(360, 640),
    Size::new(720, 1280),
];

impl Size {
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    fn holds(self, other: Self) -> bool {
        self.width >= other.width && self.height >= other.height
    }

    fn shape(self) -> f64 {
        (f64::from(self.width) / f64::from(self.height)).ln()
    }

    pub(super) fn turned(self) -> Self {
        Self::new(self.height, self.width)
    }
}

/// The size and method that serve a request: never smaller than asked for.
pub(super) fn settle(ask: ThumbnailAsk) -> Result<(Size, Method), ThumbnailError> {
    if ask.width == 0 || ask.height == 0 {
        return Err(ThumbnailError::Size);
    }
    let wanted = Size::new(ask.width, ask.height);
    let found = match ask.method {
        Method::Scale => SCALED.into_iter().find(|size| size.holds(wanted)),
        Method::Crop => {
            let distance = |size: &Size| {
                let bend = (size.shape() - wanted.shape()).abs();
                bend + f64::from(size.width * size.height).sqrt() / 10_000.0
            };
            let fitting = CROPPED.into_iter().filter(|size| size.holds(wanted));
            fitting.min_by(|a, b| distance(a).total_cmp(&distance(b)))
        }
    };
    Ok(found.map_or((UNSCALED, Method::Scale), |size| (size, ask.method)))
}

/// What to cut out of an image, and the size that the cut gets. Never larger than the cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) result: Size,
}

impl Plan {
    /// How an image of `from` becomes a thumbnail.
    pub(super) fn new(from: Size, to: Size, method: Method) -> Self {
        let (width, height) = (f64::from(from.width), f64::from(from.height));
        let across = f64::from(to.width) / width;
        let down = f64::from(to.height) / height;
        let factor = match method {
            Method::Scale => across.min(down),
            Method::Crop => across.max(down),
        };
        let factor = factor.min(1.0);
        let result = Size::new(
            pixels(width * factor).min(to.width),
            pixels(height * factor).min(to.height),
        );
        let cut_width = (f64::from(result.width) / factor).min(width);
        let cut_height = (f64::from(result.height) / factor).min(height);
        let (cut_width, cut_height) = match method {
            Method::Scale => (width, height),
            Method::Crop => (cut_width, cut_height),
        };
        Self {
            left: (width - cut_width) / 2.0,
            top: (height - cut_height) / 2.0,
            width: cut_width,
            height: cut_height,
            result,
        }
    }

    /// Whether the image stays as it is.
    pub(super) fn is_whole(&self, from: Size) -> bool {
        self.result == from
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most the size of an image, and positive"
)]
fn pixels(length: f64) -> u32 {
    (length.round() as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(width: u32, height: u32, method: Method) -> (u32, u32) {
        let ask = ThumbnailAsk {
            width,
            height,
            method,
            animated: false,
        };
        let (size, _) = settle(ask).expect("a size");
        (size.width, size.height)
    }

    #[test]
    fn the_sizes_of_the_specification_are_served_as_they_are() {
        assert_eq!(settled(32, 32, Method::Crop), (32, 32));
        assert_eq!(settled(96, 96, Method::Crop), (96, 96));
        assert_eq!(settled(320, 240, Method::Scale), (320, 240));
        assert_eq!(settled(640, 480, Method::Scale), (640, 480));
        assert_eq!(settled(800, 600, Method::Scale), (800, 600));
    }

    #[test]
    fn other_sizes_become_the_next_larger_one() {
        assert_eq!(settled(32, 32, Method::Scale), (320, 240));
        assert_eq!(settled(40, 40, Method::Crop), (96, 96));
        assert_eq!(settled(300, 170, Method::Crop), (320, 180));
        assert_eq!(settled(5000, 1, Method::Scale), (65535, 65535));
        let nothing = ThumbnailAsk {
            width: 0,
            height: 1,
            method: Method::Crop,
            animated: false,
        };
        assert_eq!(settle(nothing), Err(ThumbnailError::Size));
    }

    #[test]
    fn nothing_is_ever_enlarged() {
        for (width, height) in [(1, 1), (1, 65_535), (65_535, 1), (31, 500), (4000, 3000)] {
            for method in [Method::Scale, Method::Crop] {
                let plan = Plan::new(Size::new(width, height), Size::new(96, 96), method);
                assert!(plan.result.width <= width.min(96), "{plan:?}");
                assert!(plan.result.height <= height.min(96), "{plan:?}");
                assert!(plan.width <= f64::from(width) && plan.height <= f64::from(height));
                assert!(plan.left >= 0.0 && plan.top >= 0.0);
            }
        }
    }

    #[test]
    fn a_scaled_image_keeps_its_shape_and_a_cropped_one_gets_that_of_the_size() {
        let from = Size::new(4000, 2000);
        let scaled = Plan::new(from, Size::new(800, 600), Method::Scale);
        assert_eq!(scaled.result, Size::new(800, 400));
        let cropped = Plan::new(from, Size::new(96, 96), Method::Crop);
        assert_eq!(cropped.result, Size::new(96, 96));
        assert_eq!((cropped.left, cropped.width), (1000.0, 2000.0));
    }
}
