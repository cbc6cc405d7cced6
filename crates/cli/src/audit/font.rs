//! Where a font with Chinese characters is found for reports.

use std::path::{Path, PathBuf};

use super::read_bounded;
use crate::failure::Failure;

/// What to do where none is found.
pub const HINT: &str = "no font with Chinese characters was found; install one (Debian and Ubuntu: `apt install \
     fonts-noto-cjk`), or name one with `--report-font` or `report_font` in lingqu.toml";

/// Where systems keep fonts with Chinese characters, in the order in which they are taken.
const PLACES: [&str; 13] = [
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-sans-cjk-fonts/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/adobe-source-han-sans/SourceHanSansSC-Regular.otf",
    "/usr/share/fonts/adobe-source-han-sans-cn/SourceHanSansCN-Regular.otf",
    "/usr/share/fonts/opentype/source-han-sans/SourceHanSansSC-Regular.otf",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/usr/share/fonts/wqy-zenhei/wqy-zenhei.ttc",
    "/System/Library/Fonts/STHeiti Light.ttc",
    "/System/Library/Fonts/Supplemental/Songti.ttc",
    "C:/Windows/Fonts/msyh.ttc",
];

/// The bytes of the font that is named, or of the first that is found; none where there is none. Error: the one that is named
/// can't be read.
pub fn find(named: Option<&Path>) -> Result<Option<Vec<u8>>, Failure> {
    if let Some(path) = named {
        return read_bounded(path).map(Some);
    }
    let found = PLACES.iter().map(PathBuf::from).find(|path| path.is_file());
    found.map(|path| read_bounded(&path)).transpose()
}
