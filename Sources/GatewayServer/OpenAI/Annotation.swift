/// Where a part of an answer comes from.
package struct Annotation: Sendable, Equatable {
    package var fileID: String
    package var filename: String
    /// Verbatim from the chunk.
    package var quote: String
    /// The part of the answer it backs, in Unicode scalars (a Python client's indices); empty when it backs the whole.
    package var startIndex: Int
    package var endIndex: Int
    /// Byte range of the chunk in the document's extracted text.
    package var chunkStartByte: UInt64
    package var chunkEndByte: UInt64
    /// SHA-256 of the chunk's text, hex.
    package var chunkSHA256: String
    package var vectorStoreID: String
    package var score: Double

    func write(to writer: inout JSONWriter) {
        writer.object { annotation in
            annotation.member("type", "file_citation")
            annotation.member("file_citation") { citation in
                citation.member("file_id", fileID)
                citation.member("filename", filename)
                citation.member("quote", quote)
                citation.member("start_index", startIndex)
                citation.member("end_index", endIndex)
                citation.member("chunk") { chunk in
                    chunk.member("start_byte", Int(clamping: chunkStartByte))
                    chunk.member("end_byte", Int(clamping: chunkEndByte))
                    chunk.member("sha256", chunkSHA256)
                    chunk.member("vector_store_id", vectorStoreID)
                    chunk.name("score")
                    chunk.double(score)
                }
            }
        }
    }
}
