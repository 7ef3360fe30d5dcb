import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What a hub says a repository holds.
package struct HubListing: Sendable, Equatable {
    /// The commit that the revision is now; a pull of it gets one consistent state, whatever is pushed meanwhile.
    package let commit: String
    package let files: [WantedFile]

    /// Patterns of the files that a model needs, and that this engine reads.
    package static let modelPatterns = [
        "*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer*.json",
        "special_tokens_map.json", "vocab.*", "merges.txt", "tokenizer.model", "*.jinja", "modules.json",
        "sentence_bert_config.json", "1_Pooling/config.json", "README.md", "LICENSE*",
    ]

    private static let maximumBytes = 64 << 20

    /// Asks the hub.
    ///
    /// - Throws: ``ModelRegistryError`` `downloadFailed`.
    package static func fetch(
        repository: String, revision: String, configuration: ModelPullConfiguration
    ) async throws -> HubListing {
        let client = HTTPClient(configuration: try HubDownload.settings(configuration))
        do {
            let listing = try await fetch(repository, revision, configuration, client)
            try await client.shutdown()
            return listing
        } catch {
            try? await client.shutdown()
            throw error
        }
    }

    private static func fetch(
        _ repository: String, _ revision: String, _ configuration: ModelPullConfiguration, _ client: HTTPClient
    ) async throws -> HubListing {
        let name = "\(repository)@\(revision)"
        let escaped = revision.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? revision
        var request = HTTPClientRequest(
            url: "\(configuration.hubEndpoint)/api/models/\(repository)/revision/\(escaped)?blobs=true")
        request.headers.add(name: "User-Agent", value: "fathom")
        if let token = configuration.hubToken { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
        var reason = ""
        for attempt in 0..<max(1, configuration.attempts) {
            if attempt > 0 { try await Task.sleep(for: configuration.retryDelay * (1 << min(attempt - 1, 10))) }
            do {
                let response = try await client.execute(request, timeout: .seconds(60))
                switch response.status.code {
                case 200:
                    let body = try await response.body.collect(upTo: maximumBytes)
                    return try HubListing(Data(body.readableBytesView), name: name)
                case 408, 429, 500...599: reason = "HTTP \(response.status.code)"
                default:
                    throw ModelRegistryError(
                        code: .downloadFailed, message: "files of \(name): HTTP \(response.status.code)")
                }
            } catch let error as ModelRegistryError {
                throw error
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                reason = "\(error)"
            }
        }
        throw ModelRegistryError(
            code: .downloadFailed, message: "files of \(name): no answer from \(configuration.hubEndpoint): \(reason)")
    }

    private struct Answer: Decodable {
        struct Sibling: Decodable {
            struct LFS: Decodable { let sha256: String? }
            let rfilename: String
            let blobId: String?
            let lfs: LFS?
        }
        let sha: String
        let siblings: [Sibling]
    }

    /// Reads the hub's answer. It names files that we will write, so each path is checked.
    package init(_ json: Data, name: String) throws {
        guard let answer = try? JSONDecoder().decode(Answer.self, from: json), RelativePath.isSafe(answer.sha) else {
            throw ModelRegistryError(code: .downloadFailed, message: "files of \(name): not an answer of a hub")
        }
        commit = answer.sha
        files = try answer.siblings.map { sibling in
            guard RelativePath.isSafe(sibling.rfilename) else {
                throw ModelRegistryError(
                    code: .downloadFailed, message: "files of \(name): \(sibling.rfilename) leads out of the folder")
            }
            let digest = sibling.lfs?.sha256?.lowercased()
            return WantedFile(
                member: sibling.rfilename, path: sibling.rfilename,
                sha256: digest.flatMap { FileDigest.isHexDigest($0) ? $0 : nil },
                gitBlob: sibling.lfs == nil ? sibling.blobId?.lowercased() : nil)
        }
    }

    /// The files that one of the shell patterns matches; `*` matches any text, folders included.
    package func files(matching patterns: [String]) -> [WantedFile] {
        files.filter { file in patterns.contains { fnmatch($0, file.path, 0) == 0 } }
    }
}
