/**
 * What modules of others import, as `gatehouse-xmpp/module`: everything that docs/modules.md names, from the server that runs
 * them, so that an Element or a StanzaError of theirs is one of the server's. What is here stays; nothing else is for them.
 */

export { z } from 'zod'
export { count, duration, hostName, listOf, size } from './config/fields.ts'
export {
  type ArgumentForm,
  type Caller,
  CommandError,
  type CommandResult,
  type CommandSpec,
  defineCommand,
} from './extend/command.ts'
export {
  type IqComponent,
  type IqDiscipline,
  type IqHandler,
  type IqRequest,
  ignore,
} from './extend/gen-iq-handler.ts'
export {
  defineModule,
  getModuleProc,
  getOpt,
  getOptHost,
  type HostContext,
  type ModuleSpec,
} from './extend/gen-mod.ts'
export {
  type DiscoInfo,
  type HookHandler,
  type HookListener,
  type HookName,
  type Hooks,
  type HookTracer,
  Stop,
  stop,
} from './extend/hooks.ts'
export { iqdisc } from './extend/iqdisc.ts'
export { type ModuleStore, StoreFull } from './extend/module-store.ts'
export type { Provided } from './extend/provided.ts'
export type { Logger } from './log.ts'
export type { Session, SessionEvent, SessionInfo, Sessions } from './routing/session.ts'
export { type LastActivity, type RosterItem, type Storage, StorageUnavailable } from './storage/storage.ts'
export {
  type Attribute,
  appendSubtags,
  attr,
  Element,
  el,
  getAttr,
  getAttrS,
  getCdata,
  getChild,
  getPathS,
  getSubtag,
  getSubtagCdata,
  getTagAttr,
  getTagAttrS,
  getTagCdata,
  localName,
  type Node,
  removeCdata,
  replaceTagAttr,
  withAttributes,
} from './xml/element.ts'
export { parseElement, XmlError, type XmlHandler, XmlStream } from './xml/parser.ts'
export { crypt, elementToString, isXmlText } from './xml/serialize.ts'
export { StanzaError, type StanzaErrorCondition } from './xmpp/errors.ts'
export { type Jid, makeJid, parseJid, prepareHost, prepareResource, prepareUser } from './xmpp/jid.ts'
export { ns } from './xmpp/namespaces.ts'
export {
  errorReply,
  resultReply,
  Stanza,
  type StanzaContext,
  type StanzaKind,
  stanzaKind,
} from './xmpp/stanza.ts'
