//! The page mapped into memory, and the clocks that are read beside it. The only unsafe code of this crate.

use crate::page::{Interval, Page, State, Unknown};
use crate::shared::{LENGTH, Shared};
use crate::window::Window;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Where the page of the daemon of this host is.
pub const DEFAULT_PATH: &str = "/run/truechimer/time";

/// Where the hypervisor shows whether it has migrated or restored the machine (vmclock), if it does.
const VMCLOCK: &CStr = c"/dev/vmclock0";

/// CLOCK_REALTIME_COARSE is the time of the last tick: so much behind at most (HZ=100, and one tick that came late), nanoseconds.
const TICKS: i64 = 20_000_000;

/// Why a page cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The kernel's number of the error (errno); ENOENT: no daemon has run in this boot.
    Refused(i32),
    /// The file is not a page.
    NotAPage,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(errno) => std::io::Error::from_raw_os_error(*errno).fmt(f),
            Self::NotAPage => f.write_str("it is not a page of truechimer"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Words of a file of [`LENGTH`] octets.
const FILE: usize = LENGTH / 8;

/// A mapping of one page, in place for as long as this lives.
#[derive(Debug)]
struct Mapping {
    place: NonNull<[AtomicU64; FILE]>,
    /// Device and inode of the file.
    inode: (libc::dev_t, libc::ino_t),
}

// SAFETY: what it points to is atomic words, which any thread may use at any time; the mapping ends with the last owner.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a file; one that is shorter than a page is none, since reading it would end the program. `is_device`: a device that has a page
    /// will do too.
    fn of(file: BorrowedFd<'_>, protection: libc::c_int, is_device: bool) -> Result<Self, OpenError> {
        // SAFETY: all-zero octets are a lawful struct stat, which the call fills.
        let mut facts: libc::stat = unsafe { core::mem::zeroed() };
        // SAFETY: the pointer is to a live struct stat, and the descriptor is open as long as it is borrowed.
        if unsafe { libc::fstat(file.as_raw_fd(), &raw mut facts) } != 0 {
            return Err(OpenError::Refused(errno()));
        }
        let kind = facts.st_mode & libc::S_IFMT;
        let is_page = kind == libc::S_IFREG && facts.st_size >= LENGTH as libc::off_t;
        if !(is_page || is_device && kind == libc::S_IFCHR) {
            return Err(OpenError::NotAPage);
        }
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory that is in use.
        let place = unsafe {
            libc::mmap(core::ptr::null_mut(), LENGTH, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if place == libc::MAP_FAILED {
            return Err(OpenError::Refused(errno()));
        }
        let inode = (facts.st_dev, facts.st_ino);
        NonNull::new(place.cast()).map(|place| Self { place, inode }).ok_or(OpenError::NotAPage)
    }

    fn words(&self) -> &[AtomicU64; FILE] {
        // SAFETY: a mapping is aligned to a page and LENGTH octets long; any octets are lawful atomic words, and it stays until
        // the last owner is dropped.
        unsafe { self.place.as_ref() }
    }

    /// The word at this place; it is there.
    fn word(&self, at: usize) -> u64 {
        self.words().get(at).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn shared(&self) -> &Shared {
        // SAFETY: as above; Shared is made of words alone, not longer than a page, and aligned to less.
        unsafe { self.place.cast().as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from it any more, and it was mapped with this length.
        unsafe { libc::munmap(self.place.as_ptr().cast(), LENGTH) };
    }
}

/// The page of vmclock (`include/uapi/linux/vmclock-abi.h` of Linux, version 1), which the hypervisor writes.
#[derive(Clone, Debug)]
enum VmClock {
    /// It was not looked for yet.
    Unopened,
    /// There is none that this program may read.
    None,
    Mapped(Arc<Mapping>),
}

impl VmClock {
    const MAGIC: u32 = 0x4b4c_4356;
    const VERSION: u16 = 1;

    fn open(name: &CStr) -> Self {
        let mapping = open(name).and_then(|file| Mapping::of(file.as_fd(), libc::PROT_READ, true));
        let Ok(mapping) = mapping else { return Self::None };
        let [first, second] = [mapping.word(0), mapping.word(1)].map(u64::from_le);
        match first as u32 == Self::MAGIC && second as u16 == Self::VERSION {
            true => Self::Mapped(Arc::new(mapping)),
            false => Self::None,
        }
    }

    /// The marker, which is written at once; none: there is nothing to compare with.
    fn marker(&self) -> Option<u64> {
        match self {
            Self::Mapped(mapping) => Some(u64::from_le(mapping.word(2))),
            Self::Unopened | Self::None => None,
        }
    }
}

/// Between two looks whether another file is in the place of one that has expired, nanoseconds.
const LOOKS: i64 = 1_000_000_000;

/// The page of a daemon, to read. Each thread has its own; a clone shares the mapping and costs nothing.
#[derive(Clone, Debug)]
pub struct TimePage {
    mapping: Arc<Mapping>,
    /// Where it is, if it was opened by name; and the raw time of the last look there.
    place: Option<Arc<CString>>,
    looked: i64,
    /// Where the hypervisor shows its marker.
    hypervisor: Option<Arc<CString>>,
    vmclock: VmClock,
    /// The page as it was found last, and its number: it is read anew when there is another one.
    found: Page,
    count: u64,
    /// Where the last answer was found in it.
    window: Window,
}

impl TimePage {
    /// Opens the page of this host's daemon. It stays the page over restarts of the daemon, and is opened anew by itself if it
    /// has expired and another file is in its place.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open() -> Result<Self, OpenError> {
        Self::open_at(Path::new(DEFAULT_PATH))
    }

    /// Opens the page at this path.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_at(path: &Path) -> Result<Self, OpenError> {
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| OpenError::Refused(libc::EINVAL))?;
        Ok(Self { place: Some(Arc::new(name.clone())), ..Self::map(open(&name)?.as_fd())? })
    }

    /// Maps an open file.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn map(file: BorrowedFd<'_>) -> Result<Self, OpenError> {
        let mapping = Arc::new(Mapping::of(file, libc::PROT_READ, false)?);
        let found = Page::unknown(0, State::Unknown);
        let (hypervisor, vmclock) = (None, VmClock::Unopened);
        let window = Window::EMPTY;
        Ok(Self { mapping, place: None, looked: i64::MIN, hypervisor, vmclock, found, count: 0, window })
    }

    /// With this file in the place of the hypervisor's device, `/dev/vmclock0`.
    ///
    /// # Errors
    /// The path has an octet of zero in it.
    pub fn with_vmclock(self, path: &Path) -> Result<Self, OpenError> {
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| OpenError::Refused(libc::EINVAL))?;
        Ok(Self { hypervisor: Some(Arc::new(name)), vmclock: VmClock::Unopened, ..self })
    }

    /// True time now.
    ///
    /// # Errors
    /// [`Unknown`].
    #[inline]
    pub fn now(&mut self) -> Result<Interval, Unknown> {
        self.now_within().map_or_else(|| self.now_anew(), Ok)
    }

    /// True time now, where the page is the one that was read before, all is as it should be, and the window has not ended.
    #[inline]
    fn now_within(&self) -> Option<Interval> {
        if self.mapping.shared().count() != self.count {
            return None;
        }
        let raw = raw();
        let said = self.window.at(raw)?;
        if self.found.wall.is_some() && !self.window.agrees(raw, nanos(libc::CLOCK_REALTIME_COARSE)) {
            return None;
        }
        // After the clock: what happened before it was read is shown by now.
        (!self.is_disrupted()).then_some(said)
    }

    fn now_anew(&mut self) -> Result<Interval, Unknown> {
        let raw = match self.look() {
            Ok(raw) if self.found.at(raw) == Err(Unknown::Expired) && self.moves() => self.look(),
            Err(Unknown::NotWritten | Unknown::OtherVersion) if self.moves() => self.look(),
            said => said,
        }?;
        self.window = Window::around(&self.found, raw, TICKS);
        self.found.at(raw)
    }

    /// Whether another file is in the place of the one that is mapped; it is mapped then.
    #[cold]
    fn moves(&mut self) -> bool {
        let now = raw();
        if now.saturating_sub(self.looked) < LOOKS {
            return false;
        }
        self.looked = now;
        let file = self.place.as_ref().and_then(|name| open(name).ok());
        let Some(mapping) = file.and_then(|file| Mapping::of(file.as_fd(), libc::PROT_READ, false).ok())
        else {
            return false;
        };
        let is_another = mapping.inode != self.mapping.inode;
        if is_another {
            (self.mapping, self.count, self.window) = (Arc::new(mapping), 0, Window::EMPTY);
        }
        is_another
    }

    /// True time at the raw time `raw` (CLOCK_MONOTONIC_RAW, nanoseconds), now or in the past.
    ///
    /// # Errors
    /// [`Unknown`].
    pub fn at(&mut self, raw: i64) -> Result<Interval, Unknown> {
        self.look()?;
        self.found.at(raw)
    }

    /// What the page contains, as it is, without a look at any clock.
    ///
    /// # Errors
    /// [`Unknown::NotWritten`].
    pub fn page(&mut self) -> Result<&Page, Unknown> {
        let shared = self.mapping.shared();
        if shared.count() != self.count || self.count == 0 {
            self.window = Window::EMPTY;
            let (count, words) = shared.read().ok_or(Unknown::NotWritten)?;
            self.found = Page::from_words(&words).map_err(|_| Unknown::OtherVersion)?;
            self.count = count;
            // Once more with each page where it could not be opened: it may be there, or readable, later.
            if self.found.marker.is_some() && matches!(self.vmclock, VmClock::Unopened | VmClock::None) {
                self.vmclock = VmClock::open(self.hypervisor.as_deref().map_or(VMCLOCK, CString::as_c_str));
            }
        }
        Ok(&self.found)
    }

    /// Takes the present page, and returns the raw time, if the machine has not been disturbed since it was written.
    fn look(&mut self) -> Result<i64, Unknown> {
        let page = self.page()?;
        let raw = raw();
        if page.wall.is_some() && !page.agrees(raw, nanos(libc::CLOCK_REALTIME_COARSE), raw, TICKS) {
            // Where ticks are rare the coarse clock may be older still, and this program may have waited for the processor
            // between two readings.
            let wall = nanos(libc::CLOCK_REALTIME);
            if !page.agrees(raw, wall, self::raw(), 0) {
                return Err(Unknown::Disrupted);
            }
        }
        // After the clock: what happened before it was read is shown by now.
        if self.is_disrupted() { Err(Unknown::Disrupted) } else { Ok(raw) }
    }

    /// Whether the hypervisor shows another marker than the page knows.
    #[inline]
    fn is_disrupted(&self) -> bool {
        self.found.marker.is_some_and(|known| self.vmclock.marker().is_some_and(|shown| shown != known))
    }
}

/// Opens a file to read.
fn open(name: &CStr) -> Result<OwnedFd, OpenError> {
    // SAFETY: `name` is a C string that lives until the call returns.
    let file = unsafe { libc::open(name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK) };
    if file < 0 {
        return Err(OpenError::Refused(errno()));
    }
    // SAFETY: the descriptor was just opened, and nothing else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// The page of a daemon, to write.
#[derive(Debug)]
pub struct PageWriter(Mapping);

impl PageWriter {
    /// Maps an open file of [`LENGTH`] octets, all of which the file system has allocated. The file has no other writer.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn map(file: BorrowedFd<'_>) -> Result<Self, OpenError> {
        Mapping::of(file, libc::PROT_READ | libc::PROT_WRITE, false).map(Self)
    }

    /// What readers read.
    pub fn page(&self) -> Option<Page> {
        let (_, words) = self.0.shared().read()?;
        Page::from_words(&words).ok()
    }

    /// Replaces it.
    pub fn write(&mut self, page: &Page) {
        self.0.shared().write(&page.to_words());
    }
}

/// A page of another layout, to write: its words, each of them at once.
#[derive(Debug)]
pub struct WordsWriter(Mapping);

impl WordsWriter {
    /// As [`PageWriter::map`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn map(file: BorrowedFd<'_>) -> Result<Self, OpenError> {
        Mapping::of(file, libc::PROT_READ | libc::PROT_WRITE, false).map(Self)
    }

    /// The word at this place; 0 behind the end.
    pub fn word(&self, at: usize) -> u64 {
        self.0.words().get(at).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Replaces the word at this place: whoever sees it sees all that was written before, and what is written afterwards is
    /// not seen before it.
    pub fn set(&mut self, at: usize, word: u64) {
        if let Some(place) = self.0.words().get(at) {
            place.store(word, Ordering::Release);
            fence(Ordering::SeqCst);
        }
    }
}

/// CLOCK_MONOTONIC_RAW, nanoseconds.
fn raw() -> i64 {
    nanos(libc::CLOCK_MONOTONIC_RAW)
}

fn nanos(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec, which the call fills. Every Linux since 2.6.32 has these clocks; if a
    // filter refuses them, zeros are the time of no page.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
