import Foundation
import Testing
import Wire
import WireProtocols

/// Holds the method tables against the services of the `.proto` files.
struct MethodTableTests {
    private static let tables: [MethodDescription] =
        InferenceService.methods + PipelineService.methods + StoreService.methods + MonitorService.methods
        + HealthService.methods

    /// Every rpc of every `.proto` file below proto/fathom.
    private static func declared() throws -> Set<MethodDescription> {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("proto").resolvingSymlinksInPath()
        let files = try #require(FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil))
        var methods: Set<MethodDescription> = []
        for case let file as URL in files where file.pathExtension == "proto" {
            methods.formUnion(try rpcs(String(contentsOf: file, encoding: .utf8)))
        }
        return methods
    }

    private static func rpcs(_ source: String) throws -> [MethodDescription] {
        let package = try #require(source.firstMatch(of: /(?m)^package\s+([\w.]+)\s*;/)).1
        var service: Substring?
        var methods: [MethodDescription] = []
        for line in source.split(separator: "\n") {
            if let match = line.firstMatch(of: /^service\s+(\w+)\s*\{/) { service = match.1 }
            if line.hasPrefix("}") { service = nil }
            guard line.contains(/^\s*rpc\s/) else { continue }
            let pattern = /^\s*rpc\s+(\w+)\s*\(\s*(stream\s+)?([\w.]+)\s*\)\s*returns\s*\(\s*(stream\s+)?([\w.]+)\s*\)/
            let match = try #require(line.firstMatch(of: pattern), "an rpc must stand on one line: \(line)")
            let name = try #require(service, "an rpc outside of a service: \(line)")
            let shape: RPCShape =
                switch (match.2 != nil, match.4 != nil) {
                case (false, false): .unary
                case (false, true): .serverStreaming
                case (true, true): .bidirectional
                case (true, false): throw RPCError(.unimplemented, "the wire has no client-streaming calls: \(line)")
                }
            methods.append(
                MethodDescription(
                    fullName: "\(package).\(name)/\(match.1)", shape: shape,
                    requestName: qualified(match.3, package), responseName: qualified(match.5, package)))
        }
        return methods
    }

    private static func qualified(_ name: Substring, _ package: Substring) -> String {
        name.contains(".") ? String(name) : "\(package).\(name)"
    }

    @Test("the tables hold exactly the methods of the .proto files, with their shapes and messages")
    func tablesFitProtos() throws {
        let declared = try Self.declared()
        #expect(declared.count > 20)
        #expect(Self.tables.count == Set(Self.tables).count)
        for method in declared.subtracting(Self.tables) { Issue.record("no table holds \(method)") }
        for method in Set(Self.tables).subtracting(declared) { Issue.record("no .proto file declares \(method)") }
    }
}
