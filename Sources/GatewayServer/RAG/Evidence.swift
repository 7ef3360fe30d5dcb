import WireProtocols

/// A chunk of a document that the model is given to answer from.
package struct Evidence: Sendable, Equatable {
    package var fileID: String
    package var filename: String
    package var vectorStoreID: String
    package var text: String
    package var headings: [String]
    package var startByte: UInt64
    package var endByte: UInt64
    /// SHA-256 of `text`, hex.
    package var sha256: String
    /// 0...1, greater is closer.
    package var score: Double
    /// The sentence of `text` that the model is given instead of all of it, verbatim; nil: it is given all.
    package var keySentence: String?

    package init(
        fileID: String, filename: String, vectorStoreID: String, text: String, headings: [String] = [],
        startByte: UInt64 = 0, endByte: UInt64 = 0, sha256: String = "", score: Double = 0,
        keySentence: String? = nil
    ) {
        self.fileID = fileID
        self.filename = filename
        self.vectorStoreID = vectorStoreID
        self.text = text
        self.headings = headings
        self.startByte = startByte
        self.endByte = endByte
        self.sha256 = sha256
        self.score = score
        self.keySentence = keySentence
    }

    init(_ result: Fathom_Store_V1_SearchResult) {
        self.init(
            fileID: result.fileID, filename: result.filename, vectorStoreID: result.vectorStoreID, text: result.text,
            headings: result.headings, startByte: result.startByte, endByte: result.endByte, sha256: result.sha256,
            score: result.score)
    }

    /// Writes the member `fathom`, our extension for user interfaces: every source the model saw, in prompt order.
    static func write(_ evidence: [Evidence], to root: inout JSONWriter) {
        root.member("fathom") { extension_ in
            extension_.list(
                "sources",
                { sources in
                    for (index, item) in evidence.enumerated() {
                        sources.object { source in
                            source.member("index", index + 1)
                            source.member("file_id", item.fileID)
                            source.member("filename", item.filename)
                            source.member("vector_store_id", item.vectorStoreID)
                            source.name("score")
                            source.double(item.score)
                            source.list("headings", { for heading in item.headings { $0.string(heading) } })
                            source.member("text", item.text)
                            source.member("start_byte", Int(clamping: item.startByte))
                            source.member("end_byte", Int(clamping: item.endByte))
                            source.member("sha256", item.sha256)
                        }
                    }
                })
        }
    }
}
