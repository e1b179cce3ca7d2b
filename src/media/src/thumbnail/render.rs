//! From an image to its thumbnail: no I/O, memory within what [`Probe`] said.

use std::{
    io::{BufRead, Cursor, Seek},
    time::Duration,
};

use database::Clock;
use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use image::{
    AnimationDecoder, ColorType, DynamicImage, Frame, ImageDecoder, ImageEncoder as _, ImageError,
    Limits, RgbImage, RgbaImage,
    codecs::{
        gif::{GifDecoder, GifEncoder, Repeat},
        jpeg::{JpegDecoder, JpegEncoder},
        png::{CompressionType, FilterType as PngFilter, PngDecoder, PngEncoder},
        webp::WebPDecoder,
    },
    metadata::Orientation,
};

use super::{
    probe::{Format, Probe},
    size::{Method, Plan, Size},
};
use crate::error::ThumbnailError;

const JPEG_QUALITY: u8 = 80;
/// Speed of the search for 256 colors, 1 to 30: fast, and good enough for this size.
const GIF_SPEED: i32 = 20;
/// Frames of an animated thumbnail, and pixels that may be decoded for them. Longer ones are shown
/// still.
const MOST_FRAMES: usize = 200;
const MOST_FRAME_PIXELS: u64 = 200_000_000;
/// Bytes of an animated thumbnail.
const MOST_ANIMATED: usize = 8 * 1024 * 1024;
/// Color profiles that are larger are dropped.
const MOST_PROFILE: usize = 64 * 1024;

/// What to make.
pub(super) struct Job<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) probe: Probe,
    pub(super) size: Size,
    pub(super) method: Method,
    pub(super) animated: bool,
    /// When to give up, by the clock.
    pub(super) end: Duration,
    pub(super) clock: &'a dyn Clock,
}

pub(super) enum Rendered {
    /// The file itself is the answer: it is small enough and has nothing that must not be passed
    /// on.
    Original(&'static str),
    Made {
        bytes: Vec<u8>,
        content_type: &'static str,
    },
}

type Result<T> = std::result::Result<T, ThumbnailError>;

pub(super) fn render(job: &Job<'_>) -> Result<Rendered> {
    let limits = job.limits();
    let input = Cursor::new(job.bytes);
    match job.probe.format {
        Format::Jpeg => job.still(JpegDecoder::new(input).map_err(damaged)?, false),
        Format::Png => {
            let decoder = PngDecoder::with_limits(input, limits).map_err(damaged)?;
            if !decoder.is_apng().map_err(damaged)? {
                return job.still(decoder, false);
            }
            if job.animated
                && let Some(made) = job.moving(decoder.apng().map_err(damaged)?)?
            {
                return Ok(made);
            }
            let again = Cursor::new(job.bytes);
            let decoder = PngDecoder::with_limits(again, job.limits()).map_err(damaged)?;
            job.still(decoder, true)
        }
        Format::Gif => {
            if job.animated
                && let Some(made) = job.moving(job.gif(input)?)?
            {
                return Ok(made);
            }
            job.still(job.gif(Cursor::new(job.bytes))?, true)
        }
        Format::WebP => {
            let is_animated = job.webp(input)?.has_animation();
            if is_animated
                && job.animated
                && let Some(made) = job.moving(job.webp(Cursor::new(job.bytes))?)?
            {
                return Ok(made);
            }
            job.still(job.webp(Cursor::new(job.bytes))?, is_animated)
        }
    }
}

impl Job<'_> {
    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.max_image_width = Some(self.probe.size.width);
        limits.max_image_height = Some(self.probe.size.height);
        limits.max_alloc = Some(self.probe.memory().max(64 * 1024));
        limits
    }

    fn gif<R: BufRead + Seek>(&self, input: R) -> Result<GifDecoder<R>> {
        let mut decoder = GifDecoder::new(input).map_err(damaged)?;
        decoder.set_limits(self.limits()).map_err(damaged)?;
        Ok(decoder)
    }

    fn webp<R: BufRead + Seek>(&self, input: R) -> Result<WebPDecoder<R>> {
        let mut decoder = WebPDecoder::new(input).map_err(damaged)?;
        decoder.set_limits(self.limits()).map_err(damaged)?;
        Ok(decoder)
    }

    /// `is_moving`: the file is animated and must not be passed on as it is.
    fn still(&self, mut decoder: impl ImageDecoder, is_moving: bool) -> Result<Rendered> {
        if decoder.dimensions() != (self.probe.size.width, self.probe.size.height) {
            return Err(ThumbnailError::Damaged("it has two sizes".to_owned()));
        }
        decoder.set_limits(self.limits()).map_err(damaged)?;
        let orientation = decoder.orientation().map_err(damaged)?;
        let has_metadata = decoder.exif_metadata().map_err(damaged)?.is_some()
            || decoder.xmp_metadata().map_err(damaged)?.is_some()
            || decoder.iptc_metadata().map_err(damaged)?.is_some();
        let profile = decoder.icc_profile().map_err(damaged)?;
        let profile = profile.filter(|profile| profile.len() <= MOST_PROFILE);
        let plan = self.plan(orientation);
        let is_whole = plan.is_whole(self.probe.size);
        let image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
        if is_whole && !has_metadata && !is_moving {
            return Ok(Rendered::Original(self.probe.format.content_type()));
        }
        let mut image = shrink(plain(image), &plan)?;
        image.apply_orientation(orientation);
        encode(&image, profile)
    }

    /// `None` if it does not move, or is too much to be a thumbnail.
    fn moving<'a>(&self, decoder: impl AnimationDecoder<'a>) -> Result<Option<Rendered>> {
        let mut encoded = Vec::new();
        let mut count = 0;
        let pixels = u64::from(self.probe.size.width) * u64::from(self.probe.size.height);
        let most = usize::try_from(MOST_FRAME_PIXELS / pixels.max(1)).unwrap_or(usize::MAX);
        let most = most.min(MOST_FRAMES);
        {
            let mut encoder = GifEncoder::new_with_speed(&mut encoded, GIF_SPEED);
            encoder.set_repeat(Repeat::Infinite).map_err(damaged)?;
            let plan = self.plan(Orientation::NoTransforms);
            for frame in decoder.into_frames() {
                let frame = frame.map_err(damaged)?;
                if count == most || self.clock.monotonic() > self.end {
                    return Ok(None);
                }
                let delay = frame.delay();
                let shrunk = shrink(DynamicImage::ImageRgba8(frame.into_buffer()), &plan)?;
                let frame = Frame::from_parts(shrunk.into_rgba8(), 0, 0, delay);
                encoder.encode_frame(frame).map_err(damaged)?;
                count += 1;
            }
        }
        let is_good = count > 1 && encoded.len() <= MOST_ANIMATED;
        Ok(is_good.then_some(Rendered::Made {
            bytes: encoded,
            content_type: "image/gif",
        }))
    }

    /// The plan for the image as it is stored, which is turned only after it was made small.
    fn plan(&self, orientation: Orientation) -> Plan {
        let is_turned = matches!(
            orientation,
            Orientation::Rotate90
                | Orientation::Rotate270
                | Orientation::Rotate90FlipH
                | Orientation::Rotate270FlipH
        );
        let to = if is_turned {
            self.size.turned()
        } else {
            self.size
        };
        Plan::new(self.probe.size, to, self.method)
    }
}

/// In 8-bit color, with transparency only where the image has some.
fn plain(image: DynamicImage) -> DynamicImage {
    match image {
        DynamicImage::ImageRgb8(_) | DynamicImage::ImageRgba8(_) => image,
        other if other.color().has_alpha() => DynamicImage::ImageRgba8(other.into_rgba8()),
        other => DynamicImage::ImageRgb8(other.into_rgb8()),
    }
}

/// An image in 8-bit color, made smaller.
fn shrink(image: DynamicImage, plan: &Plan) -> Result<DynamicImage> {
    let (width, height) = (image.width(), image.height());
    if plan.is_whole(Size::new(width, height)) {
        return Ok(image);
    }
    let pixel = match image.color() {
        ColorType::Rgba8 => PixelType::U8x4,
        _ => PixelType::U8x3,
    };
    let source = ImageRef::new(width, height, image.as_bytes(), pixel).map_err(unfit)?;
    let Size { width, height } = plan.result;
    let mut small = Image::new(width, height, pixel);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Hamming))
        .crop(plan.left, plan.top, plan.width, plan.height);
    Resizer::new()
        .resize(&source, &mut small, &options)
        .map_err(unfit)?;
    let bytes = small.into_vec();
    let made = match pixel {
        PixelType::U8x4 => RgbaImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgba8),
        _ => RgbImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8),
    };
    made.ok_or_else(|| unfit("a buffer of the wrong size"))
}

/// JPEG, or PNG for what is transparent in places.
fn encode(image: &DynamicImage, profile: Option<Vec<u8>>) -> Result<Rendered> {
    let mut bytes = Vec::new();
    let is_opaque = match image.as_rgba8() {
        Some(image) => image.pixels().all(|pixel| pixel.0[3] == u8::MAX),
        None => true,
    };
    let content_type = if is_opaque {
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        keep_profile(&mut encoder, profile);
        encoder.encode_image(&image.to_rgb8()).map_err(damaged)?;
        "image/jpeg"
    } else {
        let mut encoder =
            PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, PngFilter::Adaptive);
        keep_profile(&mut encoder, profile);
        let (width, height) = (image.width(), image.height());
        let color = image.color().into();
        encoder
            .write_image(image.as_bytes(), width, height, color)
            .map_err(damaged)?;
        "image/png"
    };
    Ok(Rendered::Made {
        bytes,
        content_type,
    })
}

/// Without it, colors would change. It says nothing of the photographer.
fn keep_profile(encoder: &mut impl image::ImageEncoder, profile: Option<Vec<u8>>) {
    if let Some(profile) = profile
        && let Err(error) = encoder.set_icc_profile(profile)
    {
        tracing::debug!(%error, "a thumbnail has no color profile");
    }
}

fn damaged(error: ImageError) -> ThumbnailError {
    match error {
        ImageError::Limits(_) => ThumbnailError::TooLarge,
        error => ThumbnailError::Damaged(error.to_string()),
    }
}

fn unfit(error: impl std::fmt::Display) -> ThumbnailError {
    ThumbnailError::Damaged(error.to_string())
}
