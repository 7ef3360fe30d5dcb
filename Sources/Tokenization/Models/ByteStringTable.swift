/// A map from byte strings to token ids: one flat buffer and an open-addressed index, no allocation per entry.
struct ByteStringTable: Sendable {
    private var storage: [UInt8] = []
    /// `starts[i] ..< starts[i + 1]` are the bytes of entry i.
    private var starts: [Int] = [0]
    private var ids: [UInt32] = []
    /// Entry number plus one, 0 for an empty slot; a power of two long, at most half full.
    private var slots: [UInt32]
    /// The upper half of the hash of the entry in each slot: saves most comparisons.
    private var tags: [UInt32]
    /// Whether entries were refused because too many share a hash: texts made for that, since the hash is no secret.
    private(set) var hasCollisions = false
    /// The length of the longest entry.
    private(set) var maxLength = 0

    /// An empty table with room for `capacity` entries.
    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        slots = [UInt32](repeating: 0, count: size)
        tags = [UInt32](repeating: 0, count: size)
        starts.reserveCapacity(capacity + 1)
        ids.reserveCapacity(capacity)
    }

    /// Adds an entry unless the bytes are there already; whether it was added. The capacity must not be exceeded.
    @discardableResult
    mutating func insert(_ bytes: UnsafeBufferPointer<UInt8>, id: UInt32) -> Bool {
        precondition(ids.count < slots.count / 2, "byte string table is full")
        let hash = ByteHash.hash(bytes)
        let slot = slot(of: bytes, hash)
        guard slots[slot] == 0 else { return false }
        guard (slot - Int(truncatingIfNeeded: hash)) & (slots.count - 1) < ProbeLimit.length else {
            hasCollisions = true
            return false
        }
        ids.append(id)
        storage.append(contentsOf: bytes)
        starts.append(storage.count)
        slots[slot] = UInt32(ids.count)
        tags[slot] = UInt32(truncatingIfNeeded: hash >> 32)
        maxLength = max(maxLength, bytes.count)
        return true
    }

    /// The id of the entry equal to `bytes`.
    @inline(__always)
    func id(of bytes: UnsafeBufferPointer<UInt8>, hash: UInt64) -> UInt32? {
        guard bytes.count <= maxLength else { return nil }
        let entry = slots[slot(of: bytes, hash)]
        return entry == 0 ? nil : ids[Int(entry) - 1]
    }

    /// The id of the entry equal to `bytes`.
    func id(of bytes: UnsafeBufferPointer<UInt8>) -> UInt32? {
        id(of: bytes, hash: ByteHash.hash(bytes))
    }

    /// The id of the entry equal to `text`.
    func id(ofText text: String) -> UInt32? {
        var text = text
        return text.withUTF8 { id(of: $0) }
    }

    /// The slot that holds `bytes`, or the empty one where they belong.
    private func slot(of bytes: UnsafeBufferPointer<UInt8>, _ hash: UInt64) -> Int {
        let mask = slots.count - 1
        let tag = UInt32(truncatingIfNeeded: hash >> 32)
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] != 0 {
            if tags[slot] == tag, isEntry(Int(slots[slot]) - 1, equalTo: bytes) { break }
            slot = (slot + 1) & mask
        }
        return slot
    }

    private func isEntry(_ entry: Int, equalTo bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        let start = starts[entry]
        guard starts[entry + 1] - start == bytes.count else { return false }
        return storage.withUnsafeBufferPointer { storage in
            for index in 0..<bytes.count where storage[start + index] != bytes[index] { return false }
            return true
        }
    }
}

/// How far tables look for a free slot. At most half full, they find one within a few dozen, whatever real vocabularies hold.
enum ProbeLimit {
    static let length = 2048

    static func refusal(_ source: String) -> TokenizationError {
        TokenizationError(code: .malformed, message: "\(source): the vocabulary's hashes collide")
    }
}

/// A fast hash of short byte strings. Not for input that must resist collisions: tables that are filled from a
/// vocabulary, and caches whose slots hold one entry.
enum ByteHash {
    @inline(__always)
    static func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
        let raw = UnsafeRawBufferPointer(bytes)
        var hash = UInt64(truncatingIfNeeded: raw.count) &* 0x9E37_79B9_7F4A_7C15
        var index = 0
        while index + 8 <= raw.count {
            hash = mix(hash ^ raw.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            index += 8
        }
        var tail: UInt64 = 0
        while index < raw.count {
            tail = (tail << 8) | UInt64(raw[index])
            index += 1
        }
        return mix(hash ^ tail)
    }

    @inline(__always)
    static func mix(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low ^ (value >> 32)
    }
}
