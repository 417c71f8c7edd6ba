/** An authority of the tests' own and certificates by it, as PEM files in a folder. */
import { writeFileSync } from 'node:fs'
import { generate } from 'selfsigned'
import type { Folder } from './folder.ts'

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
