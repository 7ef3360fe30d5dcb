extension TokenizerJSON {
    /// More tokens around a text than any model expects.
    private static let maxFrame = 64

    /// What a `post_processor` puts before and behind a text.
    func frame(
        _ field: JSONField, _ added: AddedTokens, _ vocabulary: TokenizerVocabulary
    ) throws -> (before: [UInt32], after: [UInt32]) {
        let type = try field.type()
        switch type {
        case "ByteLevel": return ([], [])
        case "BertProcessing", "RobertaProcessing":
            return ([try pairID(try field.required("cls"))], [try pairID(try field.required("sep"))])
        case "TemplateProcessing": return try template(field)
        case "Sequence":
            var frame: (before: [UInt32], after: [UInt32]) = ([], [])
            for part in try Self.parts(field, "processors") {
                let outer = try self.frame(part, added, vocabulary)
                frame = (outer.before + frame.before, frame.after + outer.after)
                try Self.check(frame, field)
            }
            return frame
        default: throw field.unsupported("a post-processor of type \"\(type.prefix(32))\" is not implemented")
        }
    }

    private static func check(_ frame: (before: [UInt32], after: [UInt32]), _ field: JSONField) throws {
        guard frame.before.count + frame.after.count <= maxFrame else {
            throw field.malformed("more than \(maxFrame) tokens around a text")
        }
    }

    /// `["[CLS]", 101]`
    private func pairID(_ field: JSONField) throws -> UInt32 {
        let elements = try field.elements()
        guard elements.count == 2 else { throw field.malformed("expected a token and its id") }
        return UInt32(try elements[1].integer(in: 0...Self.maxID))
    }

    private func template(_ field: JSONField) throws -> (before: [UInt32], after: [UInt32]) {
        var frame: (before: [UInt32], after: [UInt32]) = ([], [])
        var sequences = 0
        for piece in try Self.parts(field, "single") {
            if piece["Sequence"] != nil {
                sequences += 1
                continue
            }
            let name = try piece.required("SpecialToken").required("id").string()
            let ids = try field.required("special_tokens").required(name).required("ids").elements().map {
                UInt32(try $0.integer(in: 0...Self.maxID))
            }
            if sequences == 0 { frame.before += ids } else { frame.after += ids }
            try Self.check(frame, field)
        }
        guard sequences == 1 else {
            throw field.unsupported("a template with \(sequences) sequences is not implemented")
        }
        return frame
    }
}
