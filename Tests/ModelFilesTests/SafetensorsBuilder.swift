import Foundation

/// Writes safetensors files and checkpoint folders for tests.
struct SafetensorsBuilder {
    var entries: [(name: String, type: String, shape: [Int], data: [UInt8])] = []

    mutating func add(_ name: String, _ type: String, _ shape: [Int], _ data: [UInt8]) {
        entries.append((name, type, shape, data))
    }

    mutating func add(_ name: String, _ shape: [Int], _ values: [Float]) {
        add(name, "F32", shape, values.flatMap { GGUFBuilder.bytes($0.bitPattern) })
    }

    var file: [UInt8] {
        var offset = 0
        var parts: [String] = []
        for entry in entries {
            let end = offset + entry.data.count
            let shape = entry.shape.map(String.init).joined(separator: ",")
            parts.append(
                #""\#(entry.name)":{"dtype":"\#(entry.type)","shape":[\#(shape)],"data_offsets":[\#(offset),\#(end)]}"#)
            offset = end
        }
        let header = "{" + parts.joined(separator: ",") + "}"
        return GGUFBuilder.bytes(UInt64(header.utf8.count)) + Array(header.utf8) + entries.flatMap(\.data)
    }

    /// Runs `body` with a folder that holds `files`, by name.
    static func withFolder<R>(_ files: [String: [UInt8]], _ body: (String) throws -> R) throws -> R {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("checkpoint-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        for (name, bytes) in files { try ModelFixture.write(bytes, to: "\(path)/\(name)") }
        return try body(path)
    }
}
