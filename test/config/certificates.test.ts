/** Certificates before and while the server runs: which is used for whom, and what is said of it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'
import { programs } from '../harness/paths.ts'
import { run } from '../harness/process.ts'
import { startServer } from '../harness/server.ts'

let folder: Folder
beforeAll(async () => {
  folder = temporaryFolder('certificates')
  const openssl = async (...words: string[]) => {
    const made = await run('openssl', words, { cwd: folder.path })
    if (made.code !== 0) throw new Error(made.stderr)
  }
  const ca = (name: string, more: string) =>
    writeFileSync(
      folder.file(`${name}.ext`),
      `basicConstraints=critical,CA:true\nkeyUsage=keyCertSign,cRLSign\n${more}`,
    )
  const req = (name: string, ...more: string[]) =>
    openssl(
      'req',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      ...more,
      '-subj',
      `/CN=${name}`,
    )
  const sign = (name: string, by: string, ...more: string[]) =>
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      `${by}.pem`,
      '-CAkey',
      `${by}.key`,
      '-CAcreateserial',
      '-extfile',
      `${name}.ext`,
      '-out',
      `${name}.pem`,
      ...more,
    )
  ca('root', '')
  ca('middle', '')
  await req('Root of a test', '-x509', '-days', '99', '-keyout', 'root.key', '-out', 'root.pem')
  await req('Middle of a test', '-keyout', 'middle.key', '-out', 'middle.csr')
  await sign('middle', 'root', '-days', '99')
  for (const [name, days] of Object.entries({ long: '90', soon: '10' })) {
    writeFileSync(folder.file(`${name}.ext`), 'subjectAltName=DNS:a.example,DNS:*.a.example\n')
    await req('a.example', '-keyout', `${name}.key`, '-out', `${name}.csr`)
    await sign(name, 'middle', '-days', days)
  }
  // an end in the past
  await openssl(
    'x509',
    '-req',
    '-in',
    'soon.csr',
    '-CA',
    'middle.pem',
    '-CAkey',
    'middle.key',
    '-CAcreateserial',
    '-extfile',
    'soon.ext',
    '-out',
    'ended.pem',
    '-days',
    '0',
  )
  await openssl('ec', '-in', 'long.key', '-aes128', '-passout', 'pass:secret', '-out', 'locked.key')
  writeFileSync(folder.file('broken.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
}, 30_000)
afterAll(() => folder.remove())

const text = (...names: string[]) => names.map((name) => readFileSync(folder.file(name), 'utf8')).join('')

async function check(config: Record<string, unknown>) {
  const file = folder.file('gatehouse.yml')
  writeFileSync(file, JSON.stringify({ hosts: ['a.example'], data_dir: 'data', ...config }))
  const { code, stdout, stderr } = await run(process.execPath, [programs.gatehouse, 'check', file], {
    cwd: folder.path,
  })
  const lines = (stdout + stderr).replaceAll(`${folder.path}/`, '').trim().split('\n')
  return {
    code,
    lines: lines.map((line) =>
      line.replace(/^gatehouse\.yml:\d+:\d+: /, '').replace(/\d{4}-\d\d-\d\d/g, 'DATE'),
    ),
  }
}

describe('gatehouse check', () => {
  it('says whose certificate is in which file, and for how long', async () => {
    writeFileSync(folder.file('all.pem'), text('root.pem', 'long.key', 'middle.pem', 'long.pem'))
    expect(await check({ certfiles: 'all.pem' })).toEqual({
      code: 0,
      lines: [
        'gatehouse.yml is in order',
        'certificate of a.example: all.pem, for a.example, *.a.example, until DATE (89 days left)',
      ],
    })
  })

  it('takes a chain and a key from any of the files, for any of the names', async () => {
    const files = {
      hosts: ['a.example', 'chat.a.example'],
      certfiles: ['long.pem', 'long.key', 'middle.pem', 'root.pem'],
    }
    const { code, lines } = await check(files)
    expect({ code, last: lines.at(-1) }).toEqual({
      code: 0,
      last: 'certificate of chat.a.example: long.pem, for a.example, *.a.example, until DATE (89 days left)',
    })
  })

  it.each<[string, Record<string, unknown>, number, string]>([
    [
      'of a chain that cannot be followed',
      { certfiles: ['long.pem', 'long.key'] },
      0,
      'certfiles: the certificate of a.example is issued by CN=Middle of a test, whose certificate is not there; add it to long.pem',
    ],
    [
      'of a private root that is not there',
      { certfiles: ['long.pem', 'long.key', 'middle.pem'] },
      0,
      'certfiles: the certificate of a.example is issued by CN=Root of a test, whose certificate is not there; add it to long.pem',
    ],
    [
      'of an end that is near',
      { certfiles: ['soon.pem', 'soon.key', 'middle.pem', 'root.pem'] },
      0,
      'certfiles: the certificate of a.example ends in 9 days, on DATE',
    ],
    [
      'of an end that was',
      { certfiles: ['ended.pem', 'soon.key', 'middle.pem', 'root.pem'] },
      0,
      'certfiles: the certificate of a.example has ended on DATE; renew it',
    ],
    [
      'of a host without one',
      { hosts: ['b.example'], certfiles: ['long.pem', 'long.key'] },
      0,
      'certfiles: none of them is for b.example: its clients see a self-signed certificate',
    ],
    [
      "at the host's own files",
      { host_config: { 'a.example': { certfiles: ['soon.pem', 'soon.key', 'middle.pem', 'root.pem'] } } },
      0,
      'host_config["a.example"].certfiles: the certificate of a.example ends in 9 days, on DATE',
    ],
    [
      'of a key that is not there',
      { certfiles: ['long.pem', 'soon.key'] },
      1,
      'certfiles: the private key of the certificate in long.pem is in none of the certificate files',
    ],
    [
      'of a key with a passphrase',
      { certfiles: ['long.pem', 'locked.key'] },
      1,
      'certfiles[1]: the private key in locked.key cannot be used: it has a passphrase; take that off, and let only this server read the file',
    ],
    [
      'of what is no certificate',
      { certfiles: ['broken.pem'] },
      1,
      'certfiles[0]: a certificate in broken.pem cannot be read',
    ],
    [
      'of authorities that are none',
      { c2s_cafile: 'long.key' },
      1,
      'c2s_cafile[0]: long.key holds no certificate of an authority',
    ],
    [
      'of authorities that are not there',
      { c2s_cafile: 'none.pem' },
      1,
      'c2s_cafile[0]: none.pem cannot be read: there is no such file',
    ],
  ])('tells %s', async (_what, config, code, line) => {
    const said = await check(config)
    expect(said.code).toBe(code)
    expect(said.lines).toContainEqual(
      expect.stringContaining(line.replace('host_config["a.example"]', 'host_config.a.example')),
    )
  })
})

describe('a server', () => {
  it('shows each host its own by SNI, sends the chain, tells what it has, and takes a new one without a restart', async () => {
    const live = folder.file('live.pem')
    writeFileSync(live, text('soon.pem', 'soon.key', 'middle.pem', 'root.pem'))
    const server = await startServer({ config: { hosts: ['a.example', 'b.example'], certfiles: live } })
    try {
      const shown = async (domain: string, tls: 'direct' | 'starttls') => {
        const client = await TestClient.connect({
          port: tls === 'direct' ? server.tlsPort : server.port,
          tls,
          domain,
        })
        await client.open()
        if (tls === 'starttls') await client.startTls()
        const { subject, issuerCertificate } = client.tls.getPeerCertificate(true)
        await client.close()
        return [subject.CN, issuerCertificate?.subject.CN]
      }
      for (const tls of ['direct', 'starttls'] as const) {
        expect(await shown('a.example', tls)).toEqual(['a.example', 'Middle of a test'])
        expect(await shown('b.example', tls)).toEqual(['b.example', undefined])
      }
      const listed = async () =>
        (await server.must('list_certificates')).split('\n').map((line) => line.split('\t'))
      expect((await listed()).map(([domain, file, names]) => [domain, file, names])).toEqual([
        ['a.example', live, 'a.example *.a.example'],
        ['b.example', `${server.dataDir}/certificates/b.example.pem`, 'b.example'],
      ])
      expect((await listed())[0]?.slice(4)).toEqual(['9', expect.stringMatching(/^ends in 9 days, on /)])
      expect(server.log()).toContain('"host":"a.example","days":9,"msg":"the certificate ends soon"')
      expect(server.log()).toContain('no certificate file is for this host')
      writeFileSync(live, text('long.pem', 'long.key', 'middle.pem'))
      await until('the new one', async () => (await listed())[0]?.[4] === '89', 20_000)
      expect((await listed())[0]?.[5]).toMatch(
        /^is issued by CN=Root of a test, whose certificate is not there/,
      )
      expect(server.log()).toContain('the chain of the certificate is not complete')
    } finally {
      await server.stop()
    }
  }, 40_000)
})
