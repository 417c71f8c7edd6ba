/** An authority of the tests' own and certificates by it, as PEM files in a folder. */
import { readFileSync, writeFileSync } from 'node:fs'
import { generate } from 'selfsigned'
import type { Folder } from './folder.ts'
import { run } from './process.ts'

interface Authority {
  readonly cert: string
  readonly key: string
}

/** Writes ca.pem; a second one in the same folder needs another name. */
export async function makeAuthority(folder: Folder, file = 'ca.pem'): Promise<Authority> {
  const made = await generate([{ name: 'commonName', value: `Authority ${file}` }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  })
  writeFileSync(folder.file(file), made.cert)
  return { cert: made.cert, key: made.private }
}

/** Writes NAME.pem, NAME.key, and NAME.both with the two of them. */
export async function makeCertificate(
  folder: Folder,
  name: string,
  authority: Authority,
  names: { readonly dns?: readonly string[]; readonly ip?: readonly string[] },
): Promise<void> {
  const altNames = [
    ...(names.dns ?? []).map((value) => ({ type: 2 as const, value })),
    ...(names.ip ?? []).map((ip) => ({ type: 7 as const, ip })),
  ]
  const made = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    ca: { cert: authority.cert, key: authority.key },
    extensions: [
      { name: 'basicConstraints', cA: false },
      { name: 'keyUsage', digitalSignature: true },
      { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
      { name: 'subjectAltName', altNames },
    ],
  })
  writeFileSync(folder.file(`${name}.pem`), made.cert)
  writeFileSync(folder.file(`${name}.key`), made.private, { mode: 0o600 })
  writeFileSync(folder.file(`${name}.both`), `${made.cert}\n${made.private}`, { mode: 0o600 })
}

/** A person's certificate with its key, for these addresses (id-on-xmppAddr); made with openssl, which knows such names. */
export async function makeClientCertificate(
  folder: Folder,
  name: string,
  authority: Authority,
  more: {
    readonly addresses?: readonly string[]
    readonly dns?: readonly string[]
    readonly usage?: string
    /** YYYYMMDDHHMMSSZ */
    readonly from?: string
    readonly to?: string
  },
): Promise<{ readonly cert: string; readonly key: string }> {
  const names = [
    ...(more.addresses ?? []).map((one, i) => `otherName.${i} = 1.3.6.1.5.5.7.8.5;FORMAT:UTF8,UTF8:${one}`),
    ...(more.dns ?? []).map((one, i) => `DNS.${i} = ${one}`),
  ]
  const usage = more.usage ?? 'clientAuth'
  const file = (end: string) => folder.file(`${name}.${end}`)
  writeFileSync(file('ca.key'), authority.key)
  writeFileSync(file('ca.pem'), authority.cert)
  writeFileSync(
    file('cnf'),
    [
      'utf8 = yes',
      '[req]',
      'distinguished_name = dn',
      '[dn]',
      '[ca]',
      'default_ca = own',
      '[own]',
      `database = ${file('index')}`,
      `new_certs_dir = ${folder.path}`,
      'rand_serial = yes',
      'default_md = sha256',
      'default_crl_days = 9',
      'policy = any',
      '[any]',
      'commonName = supplied',
      '[v3]',
      'basicConstraints = CA:false',
      `extendedKeyUsage = ${usage}`,
      ...(names.length > 0 ? ['subjectAltName = @names', '[names]', ...names] : []),
      '',
    ].join('\n'),
  )
  writeFileSync(file('index'), '')
  await openssl('req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes', [
    ...['-subj', `/CN=${name}`, '-config', file('cnf'), '-keyout', file('key'), '-out', file('csr')],
  ])
  await openssl('ca -batch -notext -extensions v3', [
    ...['-config', file('cnf'), '-cert', file('ca.pem'), '-keyfile', file('ca.key')],
    ...(more.from ? ['-startdate', more.from] : []),
    ...(more.to ? ['-enddate', more.to] : ['-days', '9']),
    ...['-in', file('csr'), '-out', file('pem')],
  ])
  return { cert: readFileSync(file('pem'), 'utf8'), key: readFileSync(file('key'), 'utf8') }
}

/** The authority takes back a certificate that it has made with `makeClientCertificate`: its list of those, as PEM. */
export async function revoke(folder: Folder, name: string): Promise<string> {
  const file = (end: string) => folder.file(`${name}.${end}`)
  const own = ['-config', file('cnf'), '-cert', file('ca.pem'), '-keyfile', file('ca.key')]
  await openssl('ca -batch', [...own, '-revoke', file('pem')])
  await openssl('ca -gencrl', [...own, '-out', file('crl')])
  return readFileSync(file('crl'), 'utf8')
}

async function openssl(words: string, more: readonly string[]): Promise<void> {
  const made = await run('openssl', [...words.split(' '), ...more])
  if (made.code !== 0) throw new Error(`openssl ${words}: ${made.stderr}`)
}
