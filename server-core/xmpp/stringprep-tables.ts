/**
 * The tables of RFC 3454 (Unicode 3.2). Numbers in base 36. A set is a list of ranges, each the distance from the end of the one
 * before and, unless it is a single code point, how many more follow.
 */

export interface Ranges {
  readonly first: Uint32Array
  readonly last: Uint32Array
}

function ranges(text: string): Ranges {
  const list = text.trim().split(/\s+/)
  const first = new Uint32Array(list.length)
  const last = new Uint32Array(list.length)
  let at = 0
  for (const [n, range] of list.entries()) {
    const [gap = '', more = '0'] = range.split('-')
    first[n] = at + number(gap)
    at = last[n] = (first[n] as number) + number(more)
  }
  return { first, last }
}

function number(text: string): number {
  return Number.parseInt(text, 36)
}

export function isIn(set: Ranges, code: number): boolean {
  const { first, last } = set
  let low = 0
  let high = first.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((last[middle] as number) < code) low = middle + 1
    else high = middle
  }
  return low < first.length && (first[low] as number) <= code
}

/** A.1: code points that Unicode 3.2 has not assigned. */
const unassigned = () =>
  ranges(`
  f5 j-r 2n-1 1s-g 29-f h-3 3-3 2-2 2-4 8 2 l 19 14-8 3s 20 13-1 3-5 h-w 13-1 8 14 3-5 i o b-a s-4 6-m 2-d
  2-2 2 r-4 n-9 3z-1 g f v-2 s-1g 1f-9a 4 1i-1 j-1 6-2 q-f 4 9-1 3-1 n 8 2-2 5-1 2 8-1 3-1 4-8 2-3 3 6-1
  m-6 2-1 7-3 3-1 n 8 3 3 3-1 2 6-3 3-1 4-a 5 2-6 g-b 4 8 2 4 n 8 3 6-1 b 4 4-1 2-e 2-4 b-g 4 9-1 3-1 n 8
  3-1 5-1 9-2 3-1 4-7 3-3 3 4-3 c-g 3 7-2 4 5-2 3 2 3-2 3-2 4-2 9 4-3 6-2 4 5-8 2-e d-d 4 9 4 o b 6-3 8 4
  5-6 3-8 3-3 b-h 3 9 4 o b 6-3 8 4 5-6 3-6 2 3-3 b-h 3 9 4 o h-3 7-1 4 5-8 2-7 3-3 b-h 3 j-2 p a 2-1 8-2
  2-3 7 2 9-h 4-b 1n-3 u-10 3 2-1 3 2-1 2-5 5 8 4 2 2-1 3 e 4-1 6 2 7-1 b-1 3-x 21 z-5 s-3 9 11 g-1 2-1b z
  6 3 8-2 5-5 r-1x 13-9 16-1 2-3 2j-4 1x-4 2b-5 8 1s 2 5-1 8 2 5-1 14 2 5-1 w 2 5-1 8 2 5-1 8 8 o w 2 5-1
  8 14 k-5 t-y 2e-b hj-8 u-2 2a-e e 8-a o-8 l-b e 4 3-b 2m-2 b-l g b-5 2h-7 17-11x 4d-3 2j-5 n-1 7-1 13-1
  7-1 9 2 2 2 w-1 1i g f-1 7 k-1 4 a 2c-3 2-6 6-5 9-1 s-g j-t s-k 1o-1 g-6 1e-b g0-1c 14-o c-k 4g 7p-1 3
  2u-1 b-3a 5 5-1 t 10 2 5-2 2 8-1 1h-2 p f-g t-3 lt-ov r 2i-b 5z-p d-3 1t 2f-1 2w-4 15-3 2n 15-1j 1a-2
  11-c 18-2 26-3 1c 3c-3 2s-1 w 52v-21 g4n-2h we-2 1k-1fc 8md-2j 6r3-1 1o-44 8-b 6-4 r 6 2 3 3 31-w a6-f
  1t-1 1j-7 1a-2 h-f 5-b o-1 b k 5-3 6 3s-1 2 5b-2 7-1 7-1 7-1 4-2 8 8-9 8-lb w 5-b s-50 13-1 13-148h 6v-9
  14-2 51-f5 2e 20 3-1 2-1 3-1 5 d 2 5 3 1u 5-1 9 8 t 5 6 2-2 8 9f-3 83-3 1f-7wd wyi-g14 f3-15r 3-1ekd
  3-1ekd 3-1ekd 3-1ekd 3-1ekd 3-1ekd 3-1ekd 3-1ekd 3-1ekd 3-1ekd 3-1ekd 3 2-t 2p-1egt
`)

/** B.1: mapped to nothing. */
const dropped = () => ranges('4t iq 43b 5-2 1ku-2 2b 17s0-f 6o')

/** C.1.2: spaces other than U+0020. */
const otherSpaces = () => ranges('4g 4bk 1vk-b 10 1c 335')

/** C.1.2, C.2.2, C.3 to C.9: what every profile prohibits. C.1.1 and C.2.1 are ASCII, and each profile's own. */
const prohibited = () =>
  ranges(`
  3k-w io-1 po 1e 31t b2 1ki-f p-7 1c-4 7-5 329-b 5 x6o-6in y9-v 7k 6y-6 15dg-7 96s-1 1ekf-1 1ekf-1 1ekf-1
  1ekf-1 1ekf-1 1ekf-1 1ekf-1 1ekf-1 1ekf-1 1ekf-1 1ekf-1 1ekf-1 2 v-2n 1egv-2t4x
`)

/** D.1: characters that are written from right to left. */
const rightToLeft = () =>
  ranges(`
  14u 2 3 d-q 6-4 13 4 2-p 6-a z-2 2-2s 8 8-1 k-4 2-d 3 2-q 2c-11 c 4ta 179q 2-9 2-c 2-4 2 2-1 2-1 2-2z
  y-a2 j-1r 3-1h 15-c 38-4 2-3q
`)

/** D.2: characters that are written from left to right. */
const leftToRight = () =>
  ranges(`
  1t-p 7-p 1c b 5 6-m 2-u 2-88 2-h t-2l 3-8 3-6 f-1 f-4 a 3w c 2-2 2 2-j 2-17 2-11 b-3m 8-1w 2-11 3-1 7-f
  y-11 3-6 2-12 2 oq 2-1g 4-3 9-3 4 8-9 3-c i-1 2-7 3-1 3-l 2-6 2 4-3 5-2 7-1 3-1 b 5-1 2-2 5-b 3-6 b-5
  5-1 3-l 2-6 2-1 2-1 2-1 5-2 p-3 2 8-9 3-2 f 2-6 2 2-2 2-l 2-6 2-1 2-4 4-3 9 2-1 4 g 6-9 j-1 2-7 3-1 3-l
  2-6 2-1 3-3 4-1 2 7-1 3-1 b 5-1 2-2 5-a j 2-5 4-2 2-3 4-1 2 2-1 4-1 4-2 4-7 2-2 5-1 2-1 4-2 2-2 b g-b
  f-2 2-7 2-2 2-m 2-9 2-4 8-3 s-1 5-9 j-1 2-7 2-2 2-m 2-9 2-4 5 2-4 3-1 2-1 a-1 8 2-1 5-9 j-1 2-7 2-2 2-m
  2-f 5-2 6-2 2-2 b 9-1 5-9 j-1 2-h 4-n 2-8 2 3-6 9-2 7-7 j-2 d-1b 2-1 d-6 9-c 12-1 2 3-1 2 3 7-3 2-6 2-2
  2 2 3-1 2-3 2-1 a 3-4 2 a-9 3-1 z-n 3-q 2 2 6-9 2-x l 6 3-3 1f-7 2-5 3 1d-x 2-4 2-1 2 5 7 8-n 21-11 b-14
  3 5-2h 6-1v 6-29 7-6 2-1q 2 2-3 3-6 2 2-3 3-12 2 2-3 3-u 2 2-3 3-6 2 2-3 3-6 2-6 2-m 2-u 2 2-3 3-6 2-12
  2-i 7-r 10-2c d-hh b-p 6-28 g-c 2-3 f-h 4-1 a-h f-c 2-2 g-1i 8-7 2-1 c-6 2 4-9 13-9 7-2f 9-14 120-4b
  5-2h 7-l 3-5 3-11 3-5 3-7 2 2 2 2-u 3-1g 2-6 2 4-2 2-6 4-3 3-5 5-c 6-2 2-6 i 2r e 3n 5 3-9 2 4-4 7 2 2
  2-3 2-2 2-6 4-2 6-4 n-z c3-1w r 7b-25 270-2 q-8 8-4 3-4 5-2d 7-2 2-2h 2-3 6-13 5-2l 2-13 1l-18 4-z t-r
  4-1d g-b 5-1a 2-3a 5-2q 3-u 2-52t 23-g4l 2j-wc 1h0-8mb 2l-6r1 3-1m 46-6 d-4 sq-p 7-p c-2g 4-5 3-5 3-5
  3-2 mc-u 2-3 d-q 52-11 3-11 148j-6t b-12 4-1o 4-8 h-1 8-t 5-1b f7-2c 2-1y 2-1 3 3-1 3-3 2-b 2 2-3 2-1
  2-1s 2-3 3-7 2-6 2-r 2-3 2-4 2 4-6 2-9d 5-81 7xz-wye g16-f1 gvz7-1ekd 3-1ekd
`)

/**
 * B.2: case folding for use with NFKC. In the first list a run of code points, next to each other (+) or every other one (*),
 * that all move by the same distance; in the second list single code points that become several.
 */
const folding = () =>
  foldingOf(
    `
  1t+q:w 38:lj b+n:w o+7:w 14*o:1 1e*3:1 7*8:1 h*n:1 1a:-3d 1*3:1 6:-7g 2:5u 1*2:1 4:5q 1:1 2+2:5p 2:1
  3:27 1:5m 1:5n 1:1 2:5p 1:5r 2:5v 1:5t 1:1 4:5v 1:5x 2:5y 1*3:1 6:62 1:1 2:62 3:1 2:62 1:1 2+2:61 2*2:1
  4:63 1:1 4:1 8:2 1:1 2:2 1:1 2:2 1*9:1 j*9:1 j:2 1*2:1 4:-2p 1:-1k 1*k:1 14:-3m 2*9:1 83:38 1t:12 2+3:11
  4:1s 2+2:1r 3+h:w i+9:w v:1 e:-u 1:-p 1:-d 1:-6 1:-9 1:-f 1:-m 2*c:1 o:-1i 1:-1c 1:-1b 2:-1o 1:-1s
  b+g:28 g+w:w 28*h:1 16*r:1 1j*7:1 f*j:1 14:1 8*8:1 1d+12:1c 4wf*23:1 4b:-1m 5*19:1 2w+8:-8 g+6:-8 g+8:-8
  g+8:-8 g+6:-8 h*4:-8 f+8:-8 28+2:-8 2+2:-22 4:-5j9 a+4:-2e g+2:-8 2+2:-2s e+2:-8 2+2:-34 2:-7 c+2:-3k
  2+2:-3i 7c:-6fz 5:-624 4:-6g3 1:-6g4 1:-6g5 3:-6g7 1:-6g8 1:-6g6 3:-6g7 4+3:-6g9 3:-6ga 1:-6gb 7:-6ga
  2:-5st 2:-6ge 2:-6gv 1:-6di 1+2:-6h6 4+2:-6h7 3:-6h2 b:-5u3 1:-5tr 6:-6ht r+g:g nq+q:q 1757+q:w yn+12:14
  1534+q:-2kdb 1g+q:-2ker 1g+q:-2kg7 1g*2:-2khn 3:-2khn 3:-2khn 3+2:-2khn 4+4:-2khn 5+8:-2khn y+q:-2kj3
  1g+2:-2kkj 3+4:-2kkj 6+8:-2kkj 9+7:-2kkj y+2:-2klz 3+4:-2klz 5+5:-2klz 6:-2klz 4+7:-2klz y+q:-2knf
  1g+q:-2kov 1g+q:-2kqb 1g+q:-2krr 1g+q:-2kt7 1g+q:-2kun 1k+h:-2k8n h:-2k8x 1+7:-2k8n p:-2k9c f+h:-2ka9
  h:-2kaj 1+7:-2ka9 p:-2kay f+h:-2kbv h:-2kc5 1+7:-2kbv p:-2kck f+h:-2kdh h:-2kdr 1+7:-2kdh p:-2ke6
  f+h:-2kf3 h:-2kfd 1+7:-2kf3 p:-2kfs
`,
    `
  67:37.37 29:2x.lj p:jg.32 4n:2y.lo ay:w.qh m:qh.lk.ld w:qt.lk.ld d3:12d.136 4y7:2w.mp 1:38.lk 1:3b.lm
  1:3d.lm 1:2p.ji 52:qt.lv 2:qt.lv.lc 2:qt.lv.ld 2:qt.lv.n6 16:64g.qh 1:64h.qh 1:64i.qh 1:64j.qh 1:64k.qh
  1:64l.qh 1:64m.qh 1:64n.qh 1:64g.qh 1:64h.qh 1:64i.qh 1:64j.qh 1:64k.qh 1:64l.qh 1:64m.qh 1:64n.qh
  1:65c.qh 1:65d.qh 1:65e.qh 1:65f.qh 1:65g.qh 1:65h.qh 1:65i.qh 1:65j.qh 1:65c.qh 1:65d.qh 1:65e.qh
  1:65f.qh 1:65g.qh 1:65h.qh 1:65i.qh 1:65j.qh 1:674.qh 1:675.qh 1:676.qh 1:677.qh 1:678.qh 1:679.qh
  1:67a.qh 1:67b.qh 1:674.qh 1:675.qh 1:676.qh 1:677.qh 1:678.qh 1:679.qh 1:67a.qh 1:67b.qh 3:67k.qh
  1:q9.qh 1:q4.qh 2:q9.n6 1:q9.n6.qh 5:q9.qh 6:67o.qh 1:qf.qh 1:q6.qh 2:qf.n6 1:qf.n6.qh 5:qf.qh
  6:qh.lk.lc 1:qh.lk.ld 3:qh.n6 1:qh.lk.n6 b:qt.lk.lc 1:qt.lk.ld 1:qp.lv 2:qt.n6 1:qt.lk.n6 b:67w.qh
  1:qx.qh 1:r2.qh 2:qx.n6 1:qx.n6.qh 5:qx.qh 4s:36.37 2j:4w.2r 6:4w.2u d:32.33 a:37.31 1:38.2t.30 1:38.31
  3m7:2w.34.2p 2:2p.39 2:33.3a b:34.2p 1:32.2p 1:qk.2p 1:31.2p 1:2z.2p 1:2z.2q 1:31.2q 1:2v.2q 3:34.2u
  1:32.2u 1:qk.2u 4:2w.3e 1:2z.2w.3e 1:31.2w.3e 1:2v.2w.3e 1:38.2w.3e l:34.2p 1:2z.34.2p 1:31.34.2p
  1:2v.34.2p 8:34.3a 1:32.3a 1:qk.3a 1:31.3a 1:2z.3a 1:31.3a 1:34.3b 1:32.3b 1:qk.3b 1:31.3b 1:2z.3b
  1:31.3b 1:2z.qx 1:31.qx 2:2q.35 3:2r.6qd.2z.2v 1:2r.33.1a 1:2s.2q 1:2v.3d 2:2w.34 2:2z.2z 1:2z.31
  9:34.2w 2:34.34.31 1:34.36 2:37.3a 1:3b.2q 13c3:2u.2u 1:2u.2x 1:2u.30 1:2u.2u.2x 1:2u.2u.30 1:37.38
  1:37.38 d:12s.12u 1:12s.12d 1:12s.12j 1:132.12u 1:12s.12l
`,
  )

function foldingOf(runs: string, several: string): Map<number, string> {
  const map = new Map<number, string>()
  let at = 0
  for (const run of runs.trim().split(/\s+/)) {
    const [, gap = '', step = '', count = '1', distance = ''] =
      /^(\w+)(?:([+*])(\w+))?:(-?\w+)$/.exec(run) ?? []
    at += number(gap)
    for (let n = 0; n < number(count); n++) {
      const code = at + n * (step === '*' ? 2 : 1)
      map.set(code, String.fromCodePoint(code + number(distance)))
    }
  }
  at = 0
  for (const entry of several.trim().split(/\s+/)) {
    const [gap = '', codes = ''] = entry.split(':')
    at += number(gap)
    map.set(at, String.fromCodePoint(...codes.split('.').map(number)))
  }
  return map
}

/** Compatibility characters that Unicode 4.0 gave other decompositions (Corrigendum 4): those of Unicode 3.2. */
const decompositions = () =>
  new Map([
    [0x2f868, '\u{2136a}'],
    [0x2f874, '\u{5f33}'],
    [0x2f91f, '\u{43ab}'],
    [0x2f95f, '\u{7aae}'],
    [0x2f9bf, '\u{4d57}'],
  ])

export interface Tables {
  readonly unassigned: Ranges
  readonly dropped: Ranges
  readonly otherSpaces: Ranges
  readonly prohibited: Ranges
  readonly rightToLeft: Ranges
  readonly leftToRight: Ranges
  readonly folding: ReadonlyMap<number, string>
  readonly decompositions: ReadonlyMap<number, string>
}

let made: Tables | undefined

/** Unfolded when the first text beyond ASCII comes. */
export function tables(): Tables {
  made ??= {
    unassigned: unassigned(),
    dropped: dropped(),
    otherSpaces: otherSpaces(),
    prohibited: prohibited(),
    rightToLeft: rightToLeft(),
    leftToRight: leftToRight(),
    folding: folding(),
    decompositions: decompositions(),
  }
  return made
}
