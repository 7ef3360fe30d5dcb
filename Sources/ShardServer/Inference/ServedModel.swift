import ChatTemplate
import InferenceCore
import ModelFiles
import Tokenization
import Transformer
import WireProtocols

/// The model as callers see it: its name, its tokeniser and its chat template.
package struct ServedModel: Sendable {
    package let name: String
    /// See ``ModelIdentity``.
    package let digest: String
    package let architecture: String
    package let tokenizer: any Tokenizer
    /// nil: the file has none, and chats are refused.
    package let chatTemplate: ChatTemplate?

    /// How the model writes answers to chats.
    package let chatFormat: ChatFormat
    let controlTokens: ControlTokens
    let templateTraits: ChatTemplateTraits?

    package init(
        name: String, digest: String, architecture: String, tokenizer: any Tokenizer, chatTemplate: ChatTemplate?
    ) {
        chatFormat =
            chatTemplate.map { ChatFormat(template: $0.source) } ?? ChatFormat(reasons: false, toolCalls: .none)
        controlTokens = ControlTokens(tokenizer)
        templateTraits = chatTemplate.map(ChatTemplateTraits.init)
        self.name = name
        self.digest = digest
        self.architecture = architecture
        self.tokenizer = tokenizer
        self.chatTemplate = chatTemplate
    }

    /// Reads tokeniser and template from a model: a GGUF file's metadata, or the files beside a folder's weights.
    ///
    /// - Throws: `TokenizationError`, `ChatTemplateError`, `ModelFileError` or `InferenceError` for parts that are missing,
    ///   broken or not implemented.
    package init(name: String, weights: ModelWeights, identity: ModelIdentity) throws {
        let tokenizer =
            if let file = weights.source as? GGUFFile {
                try TokenizerLoader.load(gguf: file.metadata)
            } else {
                try TokenizerLoader.load(path: weights.source.path)
            }
        let source = try PublishedChatTemplate.source(of: weights.source)
        self.init(
            name: name, digest: identity.digest, architecture: weights.model.architecture, tokenizer: tokenizer,
            chatTemplate: try source.map { try ChatTemplate(source: $0) })
    }

    /// The bytes a token stands for; a special token's are its text.
    package func bytes(of token: TokenID) -> [UInt8] {
        tokenizer.specialText(of: token).map { Array($0.utf8) } ?? tokenizer.bytes(of: token)
    }
}
