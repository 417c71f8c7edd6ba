/** What a client's stream may carry: little before the login, what the listener says after it. */
import type { C2sListener } from '../config/schema.ts'
import type { XmlLimits } from '../xml/parser.ts'

export function limitsBeforeLogin(listener: C2sListener): XmlLimits {
  return {
    ...limitsAfterLogin(listener),
    maxStanzaSize: listener.pre_auth_max_stanza_size,
    maxElements: listener.pre_auth_max_stanza_elements,
    maxDepth: listener.pre_auth_max_stanza_depth,
  }
}

export function limitsAfterLogin(listener: C2sListener): XmlLimits {
  return {
    maxStanzaSize: listener.max_stanza_size,
    maxElements: listener.max_stanza_elements,
    maxDepth: listener.max_stanza_depth,
    maxAttributes: listener.max_attributes,
    maxNameBytes: listener.max_name_bytes,
  }
}
