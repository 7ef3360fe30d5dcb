import Identity
import Wire
import WireProtocols

/// On whose behalf an upstream call is made. The only source of the metadata that names a tenant: nothing that a client
/// sends gets here.
package struct RequestScope: Sendable {
    package var principal: Principal
    package var requestID: String

    package init(principal: Principal, requestID: String) {
        self.principal = principal
        self.requestID = requestID
    }

    var metadata: Metadata {
        [MetadataKey.tenant: principal.tenant, MetadataKey.requestID: requestID]
    }

    var proto: Fathom_Shard_V1_Principal {
        var result = Fathom_Shard_V1_Principal()
        result.tenant = principal.tenant
        result.keyID = principal.keyID
        return result
    }
}
