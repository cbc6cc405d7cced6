//! The keyed index of a product: its rows in key order as small blocks of an Arrow file, read as they are asked for.
//!
//! Two files stand beside the product's own and are made from it when it is first asked by key: `lookup.arrow` holds the
//! blocks, each [`BLOCK_ROWS`] rows with their encoded keys, and `lookup-blocks.arrow` the first key and checksum of each
//! block, of which the first keys stay in memory. So memory does not grow with the product: what is kept are a few bytes a
//! block, and the blocks that were asked for last ([`BlockCache`]).
//!
//! A disk may give back other bytes than were written, and Arrow's readers panic over some of them. So nothing is read as Arrow
//! before its checksum was found right: a block has its own, the end of `lookup.arrow` too, and `lookup-blocks.arrow` ends with
//! one of everything before.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, UInt32Array};
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileDecoder, FileReader, read_footer_length};
use arrow::ipc::writer::FileWriter;
use arrow::ipc::{Block as BlockPlace, root_as_footer};
use arrow::row::{RowConverter, SortField};
use lingqu_domain::predicate::Literal;
use lingqu_domain::scope::ColumnName;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{LookupError, typed};
use crate::files::{StorageError, sync_directory};
use crate::product::Product;

/// Rows of a block: one read of some tens of kilobytes.
const BLOCK_ROWS: usize = 256;
/// The blocks.
const DATA_FILE: &str = "lookup.arrow";
/// Their first keys and checksums.
const BLOCKS_FILE: &str = "lookup-blocks.arrow";
/// The encoded key within a block, after the product's columns.
const KEY_COLUMN: &str = "__key";
/// Metadata of the blocks file: which form it has, which product it was made from, how long the data file is.
const META: [&str; 3] = ["lingqu.form", "lingqu.product", "lingqu.bytes"];
/// Metadata of the blocks file: the checksum of the data file's end, which tells where its blocks are.
const FOOTER_META: &str = "lingqu.footer";
/// Raised when the form of the files changes; files of another form are made anew.
const FORM: &str = "2";
/// Bytes of the checksum behind the blocks file.
const CHECKSUM_BYTES: usize = size_of::<u32>();

/// Blocks that were asked for last, of all products of a node, within a bound of bytes.
#[derive(Debug)]
pub struct BlockCache {
    shards: [Mutex<Shard>; SHARDS],
    /// Of one generation in one shard.
    generation_bytes: usize,
    indexes: AtomicU64,
}

/// Parts of the cache that are locked apart.
const SHARDS: usize = 16;

/// Two generations: what is asked for moves into the young one, and when that is full the old one is let go.
#[derive(Debug, Default)]
struct Shard {
    young: HashMap<(u64, usize), Arc<Block>>,
    young_bytes: usize,
    old: HashMap<(u64, usize), Arc<Block>>,
}

impl Default for BlockCache {
    /// 256 MiB.
    fn default() -> Self {
        Self::new(256 << 20)
    }
}

impl BlockCache {
    /// A cache of at most so many bytes, and one block more in each of its parts.
    pub fn new(bytes_max: usize) -> BlockCache {
        BlockCache {
            shards: std::array::from_fn(|_| Mutex::default()),
            generation_bytes: bytes_max / SHARDS / 2,
            indexes: AtomicU64::new(0),
        }
    }

    fn shard(&self, place: (u64, usize)) -> &Mutex<Shard> {
        &self.shards[(place.1 ^ usize::try_from(place.0).unwrap_or(0)) % SHARDS]
    }

    fn get(&self, place: (u64, usize)) -> Option<Arc<Block>> {
        let mut shard = self.shard(place).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = shard.young.get(&place) {
            return Some(Arc::clone(block));
        }
        let block = shard.old.remove(&place)?;
        shard.put(place, &block, self.generation_bytes);
        Some(block)
    }

    fn put(&self, place: (u64, usize), block: &Arc<Block>) {
        self.shard(place).lock().unwrap_or_else(PoisonError::into_inner).put(place, block, self.generation_bytes);
    }

    /// Bytes of the blocks that are kept now.
    pub fn bytes(&self) -> usize {
        let of_shard = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.young.values().chain(shard.old.values()).map(|block| block.bytes).sum::<usize>()
        };
        self.shards.iter().map(of_shard).sum()
    }
}

impl Shard {
    fn put(&mut self, place: (u64, usize), block: &Arc<Block>, generation_bytes: usize) {
        if self.young_bytes + block.bytes > generation_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(place, Arc::clone(block)).is_none() {
            self.young_bytes += block.bytes;
        }
    }
}

/// Some rows in key order.
#[derive(Debug)]
pub(super) struct Block {
    keys: BinaryArray,
    /// The product's columns, hidden ones included.
    pub(super) rows: RecordBatch,
    bytes: usize,
}

/// A product by its key, shared by all grants.
pub struct ProductIndex {
    key: Vec<ColumnName>,
    key_types: Vec<DataType>,
    converter: RowConverter,
    path: PathBuf,
    file: File,
    decoder: FileDecoder,
    places: Vec<BlockPlace>,
    first_keys: BinaryArray,
    checksums: UInt32Array,
    rows: u64,
    number: u64,
    cache: Arc<BlockCache>,
}

impl ProductIndex {
    /// Opens the index of a product; the first time, or where its files are not those of this product, it is made, which
    /// reads the whole product. Blocking.
    pub fn open(product: &Product, cache: &Arc<BlockCache>) -> Result<ProductIndex, LookupError> {
        let directory = product.files.directory();
        if let Some(index) = Self::read(product, directory, cache)? {
            return Ok(index);
        }
        make(product, directory)?;
        Self::read(product, directory, cache)?.ok_or_else(|| {
            let reason = "it was written a moment ago and is not what was written".to_owned();
            StorageError::MadeDamaged { path: directory.join(BLOCKS_FILE), reason }.into()
        })
    }

    /// The index as its files have it; nothing when there are none, or none of this product.
    fn read(product: &Product, directory: &Path, cache: &Arc<BlockCache>) -> Result<Option<ProductIndex>, LookupError> {
        let (path, blocks_path) = (directory.join(DATA_FILE), directory.join(BLOCKS_FILE));
        let (Some(file), Some(mut blocks)) = (open_if_there(&path)?, open_if_there(&blocks_path)?) else {
            return Ok(None);
        };
        let file_bytes = file.metadata().map_err(|error| StorageError::io(&path, "read", &error))?.len();
        let mut written = Vec::new();
        blocks.read_to_end(&mut written).map_err(|error| StorageError::io(&blocks_path, "read", &error))?;
        let Some(written) = checked(&written) else { return Ok(None) };
        let Ok(mut blocks) = FileReader::try_new(Cursor::new(written), None) else { return Ok(None) };
        let told = blocks.schema();
        let bytes = file_bytes.to_string();
        let is_of_product = META
            .iter()
            .zip([FORM, product.digest.as_str(), &bytes])
            .all(|(name, expected)| told.metadata().get(*name).is_some_and(|found| found == expected));
        let Some(Ok(blocks)) = is_of_product.then(|| blocks.next()).flatten() else { return Ok(None) };
        let end = footer_bytes(&file, file_bytes).map_err(|error| damaged(&path, &error))?;
        if told.metadata().get(FOOTER_META) != Some(&crc32fast::hash(&end).to_string()) {
            return Err(damaged(&path, &"its end has changed since it was written"));
        }
        let (schema, places, decoder) = footer(&end).map_err(|error| damaged(&path, &error))?;
        let (first_keys, checksums) =
            (blocks.column(0).as_binary::<i32>().clone(), blocks.column(1).as_primitive::<UInt32Type>().clone());
        let raw = product.files.arrow_schema();
        if schema.fields().len() != raw.fields().len() + 1 || places.len() != first_keys.len() {
            return Ok(None);
        }
        let (key_types, converter) = key_types(product);
        Ok(Some(ProductIndex {
            key: product.key.clone(),
            key_types,
            converter,
            path,
            file,
            decoder,
            places,
            first_keys,
            checksums,
            rows: product.rows,
            number: cache.indexes.fetch_add(1, Ordering::Relaxed),
            cache: Arc::clone(cache),
        }))
    }

    /// Rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The names of the key's parts.
    pub fn key(&self) -> &[ColumnName] {
        &self.key
    }

    /// The place of a key: its block and the row in it.
    pub(super) fn find(&self, key: &[Literal]) -> Result<Option<(Arc<Block>, usize)>, LookupError> {
        if key.len() != self.key.len() {
            return Err(LookupError::KeyParts {
                found: key.len(),
                expected: self.key.len(),
                names: self.key.iter().map(ToString::to_string).collect(),
            });
        }
        let mut parts = Vec::with_capacity(key.len());
        for ((part, name), data_type) in key.iter().zip(&self.key).zip(&self.key_types) {
            let value = typed(part, data_type, name.as_str())?;
            parts.push(value.to_array().map_err(|error| crate::execution::sanitise(&error))?);
        }
        let rows = self.converter.convert_columns(&parts).expect("the parts are of the key's types");
        let row = rows.row(0);
        let wanted: &[u8] = row.as_ref();
        // The block is the last one whose first key is not greater.
        let Some(number) = partition_point(&self.first_keys, |key| key <= wanted).checked_sub(1) else {
            return Ok(None);
        };
        let block = self.block(number)?;
        let at = partition_point(&block.keys, |key| key < wanted);
        let is_there = at < block.keys.len() && block.keys.value(at) == wanted;
        Ok(is_there.then_some((block, at)))
    }

    /// A block, from memory or from the file.
    fn block(&self, number: usize) -> Result<Arc<Block>, LookupError> {
        let place = (self.number, number);
        if let Some(block) = self.cache.get(place) {
            return Ok(block);
        }
        let bytes =
            bytes_of(&self.file, &self.places[number]).map_err(|error| StorageError::io(&self.path, "read", &error))?;
        if crc32fast::hash(&bytes) != self.checksums.value(number) {
            return Err(damaged(&self.path, &"a block has changed since it was written"));
        }
        let read = self.decoder.read_record_batch(&self.places[number], &bytes);
        let read = read.map_err(|_| damaged(&self.path, &"a block can't be read"))?;
        let read = read.ok_or_else(|| damaged(&self.path, &"a block is empty"))?;
        let columns = read.num_columns() - 1;
        let keys = read.column(columns).as_binary::<i32>().clone();
        let rows = read.project(&(0..columns).collect::<Vec<_>>()).expect("the columns are there");
        let block = Arc::new(Block { keys, rows, bytes: bytes.len() });
        self.cache.put(place, &block);
        Ok(block)
    }
}

impl std::fmt::Debug for ProductIndex {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ProductIndex").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// The first place at which a condition that holds for all smaller keys does not hold.
fn partition_point(keys: &BinaryArray, holds: impl Fn(&[u8]) -> bool) -> usize {
    let (mut low, mut high) = (0, keys.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(keys.value(middle)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn key_types(product: &Product) -> (Vec<DataType>, RowConverter) {
    let schema = product.files.arrow_schema();
    let type_of = |name: &ColumnName| {
        let (_, field) = schema.column_with_name(name.as_str()).expect("a product's key is among its columns");
        field.data_type().clone()
    };
    let types: Vec<DataType> = product.key.iter().map(type_of).collect();
    let fields = types.iter().cloned().map(SortField::new).collect();
    (types, RowConverter::new(fields).expect("the engine's column types can be sorted"))
}

fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> LookupError {
    StorageError::MadeDamaged { path: path.to_owned(), reason: reason.to_string() }.into()
}

fn open_if_there(path: &Path) -> Result<Option<File>, StorageError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io(path, "opened", &error)),
    }
}

/// The bytes of a block, aligned as Arrow reads them without copying.
fn bytes_of(file: &File, place: &BlockPlace) -> std::io::Result<Buffer> {
    let length =
        usize::try_from(place.bodyLength()).unwrap_or(0) + usize::try_from(place.metaDataLength()).unwrap_or(0);
    let mut bytes = MutableBuffer::from_len_zeroed(length);
    file.read_exact_at(bytes.as_slice_mut(), u64::try_from(place.offset()).unwrap_or(0))?;
    Ok(bytes.into())
}

/// The bytes of the blocks file without the checksum behind them; nothing when they are not those that were written.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (bytes, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    (crc32fast::hash(bytes) == u32::from_be_bytes(*checksum)).then_some(bytes)
}

/// The end of an Arrow file, which tells its schema and where its blocks are.
fn footer_bytes(file: &File, file_bytes: u64) -> Result<Vec<u8>, ArrowError> {
    let mut trailer = [0; 10];
    let tail = file_bytes.checked_sub(10).ok_or_else(|| ArrowError::ParseError("it is too short".to_owned()))?;
    file.read_exact_at(&mut trailer, tail)?;
    let length = read_footer_length(trailer)?;
    let begin = tail.checked_sub(length as u64).ok_or_else(|| ArrowError::ParseError("it is too short".to_owned()))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, begin)?;
    Ok(bytes)
}

/// What the end of an Arrow file tells. Of bytes that were checked: Arrow panics over some others.
fn footer(bytes: &[u8]) -> Result<(SchemaRef, Vec<BlockPlace>, FileDecoder), ArrowError> {
    let footer = root_as_footer(bytes).map_err(|_| ArrowError::ParseError("its footer can't be read".to_owned()))?;
    let no_schema = || ArrowError::ParseError("it has no schema".to_owned());
    let schema = Arc::new(arrow::ipc::convert::fb_to_schema(footer.schema().ok_or_else(no_schema)?));
    let places = footer.recordBatches().map(|places| places.iter().copied().collect()).unwrap_or_default();
    let decoder = FileDecoder::new(Arc::clone(&schema), footer.version());
    Ok((schema, places, decoder))
}

/// Makes both files; the second is there only when the first is whole.
fn make(product: &Product, directory: &Path) -> Result<(), LookupError> {
    let raw = product.files.arrow_schema();
    let mut fields: Vec<Arc<Field>> = raw.fields().to_vec();
    fields.push(Arc::new(Field::new(KEY_COLUMN, DataType::Binary, false)));
    let schema = Arc::new(Schema::new(fields));
    let (_, converter) = key_types(product);
    let key_columns: Vec<usize> = product
        .key
        .iter()
        .map(|name| raw.index_of(name.as_str()).expect("a product's key is among its columns"))
        .collect();
    let data = Unfinished::create(directory, DATA_FILE)?;
    let written = |error: ArrowError| damaged(&data.path, &error);
    let mut writer = FileWriter::try_new_buffered(data.file()?, &schema).map_err(written)?;
    let mut first_keys: Vec<Vec<u8>> = Vec::new();
    for file in product.files.files() {
        let path = product.files.path_of(file);
        let handle = File::open(&path).map_err(|error| StorageError::io(&path, "read", &error))?;
        let unreadable =
            |error: &dyn std::fmt::Display| StorageError::Damaged { path: path.clone(), reason: error.to_string() };
        let reader = ParquetRecordBatchReaderBuilder::try_new(handle).map_err(|error| unreadable(&error))?;
        let reader = reader.with_batch_size(BLOCK_ROWS).build().map_err(|error| unreadable(&error))?;
        for batch in reader {
            let batch = batch.map_err(|error| unreadable(&error))?;
            let columns: Vec<ArrayRef> = key_columns.iter().map(|index| Arc::clone(batch.column(*index))).collect();
            let rows = converter.convert_columns(&columns).expect("the converter was made for these columns");
            let keys = BinaryArray::from_iter_values(rows.iter());
            first_keys.extend((!keys.is_empty()).then(|| keys.value(0).to_vec()));
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(keys));
            let block = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(written)?;
            writer.write(&block).map_err(written)?;
        }
    }
    writer.finish().map_err(written)?;
    drop(writer);
    let file = data.file()?;
    let file_bytes = file.metadata().map_err(|error| StorageError::io(&data.path, "read", &error))?.len();
    let end = footer_bytes(&file, file_bytes).map_err(written)?;
    let (_, places, _) = footer(&end).map_err(written)?;
    let mut checksums = Vec::with_capacity(places.len());
    for place in &places {
        let bytes = bytes_of(&file, place).map_err(|error| StorageError::io(&data.path, "read", &error))?;
        checksums.push(crc32fast::hash(&bytes));
    }
    data.finish()?;

    let bytes = file_bytes.to_string();
    let footer_checksum = crc32fast::hash(&end).to_string();
    let told = META.iter().zip([FORM, product.digest.as_str(), &bytes]).chain([(&FOOTER_META, &*footer_checksum)]);
    let told = told.map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect();
    let fields = vec![Field::new("first_key", DataType::Binary, false), Field::new("crc32", DataType::UInt32, false)];
    let schema = Arc::new(Schema::new_with_metadata(fields, told));
    let blocks = Unfinished::create(directory, BLOCKS_FILE)?;
    let written = |error: ArrowError| damaged(&blocks.path, &error);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(BinaryArray::from_iter_values(first_keys)), Arc::new(UInt32Array::from(checksums))];
    let all = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(written)?;
    let mut bytes: Vec<u8> = Vec::new();
    let mut writer = FileWriter::try_new(&mut bytes, &schema).map_err(written)?;
    writer.write(&all).and_then(|()| writer.finish()).map_err(written)?;
    drop(writer);
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    blocks.file()?.write_all(&bytes).map_err(|error| StorageError::io(&blocks.path, "written", &error))?;
    Ok(blocks.finish()?)
}

/// A file that gets its name when it is whole, and is removed when it never is.
struct Unfinished {
    path: PathBuf,
    name: PathBuf,
}

impl Unfinished {
    fn create(directory: &Path, name: &str) -> Result<Unfinished, StorageError> {
        let path = directory.join(format!(".{name}-{}.unfinished", uuid::Uuid::now_v7().simple()));
        File::create_new(&path).map_err(|error| StorageError::io(&path, "created", &error))?;
        Ok(Unfinished { path, name: directory.join(name) })
    }

    fn file(&self) -> Result<File, StorageError> {
        let opened = File::options().read(true).write(true).open(&self.path);
        opened.map_err(|error| StorageError::io(&self.path, "opened", &error))
    }

    fn finish(self) -> Result<(), StorageError> {
        self.file()?.sync_all().map_err(|error| StorageError::io(&self.path, "synced", &error))?;
        std::fs::rename(&self.path, &self.name).map_err(|error| StorageError::io(&self.name, "named", &error))?;
        sync_directory(self.name.parent().unwrap_or(Path::new(".")))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After the renaming there is nothing to remove; otherwise a file that stays only takes space.
        drop(std::fs::remove_file(&self.path));
    }
}
