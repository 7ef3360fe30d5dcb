#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A whole regular file mapped into memory, read only, for as long as this object lives.
///
/// The pages are shared with every other process that maps the same file. Thread-safe: nothing changes after `init`.
/// As with every mapping, a file that someone truncates while it is mapped makes later reads of the lost pages fault;
/// model files are installed by rename and never written in place.
package final class MappedFile: Sendable {
    /// The path the file was opened by.
    package let path: String
    private let address: UInt
    /// Size of the file in bytes.
    package let byteCount: Int

    /// The file's bytes; valid while this object lives.
    package var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: address), count: byteCount)
    }

    /// Maps the file at `path`.
    ///
    /// - Throws: `ModelFileError` with `inputOutput` when it cannot be opened or is not a regular file, `truncated`
    ///   when it is empty.
    package init(path: String) throws(ModelFileError) {
        func failure(_ what: String, _ number: Int32) -> ModelFileError {
            ModelFileError(code: .inputOutput, message: "\(path): \(what): \(String(cString: strerror(number)))")
        }
        // O_NONBLOCK: opening a named pipe must fail the check below, not wait for a writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure("cannot open", errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure("cannot read the size", errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw ModelFileError(code: .inputOutput, message: "\(path): not a regular file")
        }
        guard status.st_size > 0, let size = Int(exactly: status.st_size) else {
            throw ModelFileError(.truncated, path: path, offset: 0, "the file is empty, expected a model file")
        }
        guard let start = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0), start != MAP_FAILED else {
            throw failure("cannot map \(size) bytes", errno)
        }
        self.path = path
        address = UInt(bitPattern: start)
        byteCount = size
    }

    deinit {
        munmap(UnsafeMutableRawPointer(bitPattern: address), byteCount)
    }

    /// Tells the kernel that `region` (bytes of this file) will not be read again soon, so that its pages may go.
    ///
    /// Only whole pages inside `region` are affected; reading them later fetches them from the file again. A region
    /// outside this file is ignored.
    package func adviseDontNeed(_ region: UnsafeRawBufferPointer) {
        guard let base = region.baseAddress else { return }
        let start = UInt(bitPattern: base)
        guard start >= address, start - address <= UInt(byteCount),
            UInt(region.count) <= UInt(byteCount) - (start - address)
        else { return }
        let pageSize = UInt(max(sysconf(Int32(_SC_PAGESIZE)), 1))
        let end = start + UInt(region.count)
        let firstPage = (start + pageSize - 1) / pageSize * pageSize
        // The last page of the file is whole for the kernel even where the file ends inside it.
        let lastPage = end == address + UInt(byteCount) ? end : end / pageSize * pageSize
        guard firstPage < lastPage else { return }
        madvise(UnsafeMutableRawPointer(bitPattern: firstPage), Int(lastPage - firstPage), MADV_DONTNEED)
    }
}
