/** The namespaces of the protocols that we speak, and the features that are announced by such a name. */
export const ns = {
  /** RFC 6120 and 6121 */
  client: 'jabber:client',
  server: 'jabber:server',
  streams: 'http://etherx.jabber.org/streams',
  streamErrors: 'urn:ietf:params:xml:ns:xmpp-streams',
  stanzas: 'urn:ietf:params:xml:ns:xmpp-stanzas',
  tls: 'urn:ietf:params:xml:ns:xmpp-tls',
  sasl: 'urn:ietf:params:xml:ns:xmpp-sasl',
  bind: 'urn:ietf:params:xml:ns:xmpp-bind',
  session: 'urn:ietf:params:xml:ns:xmpp-session',
  roster: 'jabber:iq:roster',
  rosterver: 'urn:xmpp:features:rosterver',
  preApproval: 'urn:xmpp:features:pre-approval',
  xml: 'http://www.w3.org/XML/1998/namespace',
  /** XEPs, by number */
  xdata: 'jabber:x:data', // 0004
  last: 'jabber:iq:last', // 0012
  offline: 'msgoffline', // 0013, 0160
  privacy: 'jabber:iq:privacy', // 0016
  expire: 'jabber:x:expire', // 0023
  discoInfo: 'http://jabber.org/protocol/disco#info', // 0030
  discoItems: 'http://jabber.org/protocol/disco#items', // 0030
  address: 'http://jabber.org/protocol/address', // 0033
  muc: 'http://jabber.org/protocol/muc', // 0045
  mucUser: 'http://jabber.org/protocol/muc#user', // 0045
  mucAdmin: 'http://jabber.org/protocol/muc#admin', // 0045
  mucOwner: 'http://jabber.org/protocol/muc#owner', // 0045
  private: 'jabber:iq:private', // 0049
  commands: 'http://jabber.org/protocol/commands', // 0050
  vcard: 'vcard-temp', // 0054
  search: 'jabber:iq:search', // 0055
  rsm: 'http://jabber.org/protocol/rsm', // 0059
  pubsub: 'http://jabber.org/protocol/pubsub', // 0060
  pubsubEvent: 'http://jabber.org/protocol/pubsub#event', // 0060
  pubsubOwner: 'http://jabber.org/protocol/pubsub#owner', // 0060
  oob: 'jabber:x:oob', // 0066
  register: 'jabber:iq:register', // 0077
  registerFeature: 'http://jabber.org/features/iq-register', // 0077
  auth: 'jabber:iq:auth', // 0078
  authFeature: 'http://jabber.org/features/iq-auth', // 0078
  chatStates: 'http://jabber.org/protocol/chatstates', // 0085
  version: 'jabber:iq:version', // 0092
  rosterx: 'http://jabber.org/protocol/rosterx', // 0144
  component: 'jabber:component:accept', // 0114
  caps: 'http://jabber.org/protocol/caps', // 0115
  compressFeature: 'http://jabber.org/features/compress', // 0138
  compress: 'http://jabber.org/protocol/compress', // 0138
  vcardUpdate: 'vcard-temp:x:update', // 0153
  receipts: 'urn:xmpp:receipts', // 0184
  blocking: 'urn:xmpp:blocking', // 0191
  blockingErrors: 'urn:xmpp:blocking:errors', // 0191
  sm: 'urn:xmpp:sm:3', // 0198
  ping: 'urn:xmpp:ping', // 0199
  time: 'urn:xmpp:time', // 0202
  delay: 'urn:xmpp:delay', // 0203
  xmppErrors: 'urn:xmpp:errors', // 0205
  dialback: 'jabber:server:dialback', // 0220
  dialbackFeature: 'urn:xmpp:features:dialback', // 0220
  carbons: 'urn:xmpp:carbons:2', // 0280
  forward: 'urn:xmpp:forward:0', // 0297
  hashes: 'urn:xmpp:hashes:2', // 0300
  mam: 'urn:xmpp:mam:2', // 0313
  hints: 'urn:xmpp:hints', // 0334
  csi: 'urn:xmpp:csi:0', // 0352
  push: 'urn:xmpp:push:0', // 0357
  stanzaIds: 'urn:xmpp:sid:0', // 0359
  upload: 'urn:xmpp:http:upload:0', // 0363
  bind2: 'urn:xmpp:bind:0', // 0386
  sasl2: 'urn:xmpp:sasl:2', // 0388
  channelBinding: 'urn:xmpp:sasl-cb:0', // 0440
  limits: 'urn:xmpp:stream-limits:0', // 0478
  fast: 'urn:xmpp:fast:0', // 0484
  cputime: 'ejabberd:cputime',
} as const
