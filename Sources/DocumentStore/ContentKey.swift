import Crypto

/// Names what a file gives to search: SHA-256 over its chunks' texts, places and headings. Two files with the same key
/// are copies of one another as far as a search can tell.
struct ContentKey {
    private var hash = SHA256()

    mutating func add(textSHA256: String, start: Int, end: Int, headingsJSON: String) {
        // No part holds a NUL, so the parts cannot be confused with each other.
        hash.update(data: Array("\(textSHA256)\0\(start)\0\(end)\0\(headingsJSON)\0".utf8))
    }

    /// 64 hex digits.
    func finish() -> String { StoreIdentifier.hex(hash.finalize()) }
}
