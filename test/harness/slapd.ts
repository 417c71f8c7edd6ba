/** A private OpenLDAP server on the entries of fixtures/ldap: own folder, own authority, free ports. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { makeAuthority, makeCertificate } from './certificates.ts'
import { until } from './deadline.ts'
import { findProgram } from './find.ts'
import { type Folder, temporaryFolder } from './folder.ts'
import { ldapFixtures } from './paths.ts'
import { accepts, freePorts } from './ports.ts'
import { type Running, run, start } from './process.ts'

export interface SlapdOptions {
  /** Entries besides those of the fixtures, in LDIF. */
  readonly entries?: string
  /** More lines of the configuration, before the database. */
  readonly config?: string
  /** Whether clients have to show a certificate. */
  readonly verifyClient?: boolean
}

export interface Slapd {
  readonly folder: Folder
  readonly port: number
  readonly tlsPort: number
  /** `ldap://127.0.0.1:PORT` */
  readonly url: string
  /** Options of a backend that searches as cn=reader. */
  readonly options: {
    readonly ldap_servers: string[]
    readonly ldap_base: string
    readonly ldap_rootdn: string
    readonly ldap_password_file: string
  }
  /** Options of one that may change everything. */
  readonly adminOptions: Slapd['options']
  stop(): Promise<void>
  start(): Promise<void>
  /** SIGSTOP: it keeps its connections and answers nothing. */
  pause(): void
  resume(): void
  /** Stops it and removes its folder. */
  remove(): Promise<void>
}

const loopback = '127.0.0.1'

export async function startSlapd(options: SlapdOptions = {}): Promise<Slapd> {
  const folder = temporaryFolder('slapd')
  const [port = 0, tlsPort = 0] = await freePorts(2)
  const authority = await makeAuthority(folder)
  await makeCertificate(folder, 'server', authority, { dns: ['localhost'], ip: [loopback] })
  await makeCertificate(folder, 'client', authority, { dns: ['client'] })
  mkdirSync(folder.file('db'))
  const config = readFileSync(`${ldapFixtures}/slapd.conf`, 'utf8')
    .replaceAll('@FIXTURES@', ldapFixtures)
    .replaceAll('@FOLDER@', folder.path)
    .replaceAll('@VERIFY_CLIENT@', options.verifyClient ? 'demand' : 'never')
    .replaceAll('@GLOBAL@', options.config ?? '')
  const file = folder.file('slapd.conf')
  writeFileSync(file, config)
  writeFileSync(
    folder.file('data.ldif'),
    `${readFileSync(`${ldapFixtures}/directory.ldif`, 'utf8')}\n${options.entries ?? ''}`,
  )
  const added = await run(findProgram('slapadd') ?? 'slapadd', [
    '-q',
    '-f',
    file,
    '-l',
    folder.file('data.ldif'),
  ])
  if (added.code !== 0) throw new Error(`slapadd: ${added.stderr}`)
  writeFileSync(folder.file('reader'), 'reader-secret\n', { mode: 0o600 })
  writeFileSync(folder.file('admin'), 'admin-secret\n', { mode: 0o600 })

  let running: Running | undefined
  const url = `ldap://${loopback}:${port}`
  const base = { ldap_servers: [url], ldap_base: 'dc=example,dc=org' }
  const slapd: Slapd = {
    folder,
    port,
    tlsPort,
    url,
    options: {
      ...base,
      ldap_rootdn: 'cn=reader,dc=example,dc=org',
      ldap_password_file: folder.file('reader'),
    },
    adminOptions: {
      ...base,
      ldap_rootdn: 'cn=admin,dc=example,dc=org',
      ldap_password_file: folder.file('admin'),
    },
    async stop() {
      running?.child.kill('SIGCONT')
      await running?.stop('SIGTERM')
      running = undefined
    },
    async start() {
      const urls = `ldap://${loopback}:${port}/ ldaps://${loopback}:${tlsPort}/`
      running = start(findProgram('slapd') ?? 'slapd', ['-f', file, '-h', urls, '-d', '0'])
      const { lines } = running
      await until(
        () => `slapd to listen; it said:\n${lines.join('\n')}`,
        () => accepts(tlsPort),
      )
    },
    pause: () => running?.child.kill('SIGSTOP'),
    resume: () => running?.child.kill('SIGCONT'),
    async remove() {
      await slapd.stop()
      folder.remove()
    },
  }
  await slapd.start()
  return slapd
}

/** One person in LDIF, below ou=people; everything in base64, so that nothing has to be escaped there. */
export function person(uid: string, password: string): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const name = uid.replace(/[^A-Za-z0-9]/gu, (char) =>
    [...Buffer.from(char)].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join(''),
  )
  const dn = `uid=${name},ou=people,dc=example,dc=org`
  const lines = ['objectClass: inetOrgPerson', `uid:: ${base64(uid)}`, 'cn: N', 'sn: N']
  return `\ndn:: ${base64(dn)}\n${lines.join('\n')}\nuserPassword:: ${base64(password)}\n`
}
