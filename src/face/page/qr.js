// QR codes as SVG: bytes, level L, versions 1 to 5 (up to 106 bytes), after ISO/IEC 18004. One block each, so nothing is interleaved.
import { html } from './ui.js';

const DATA = [19, 34, 55, 80, 108];
const CHECK = [7, 10, 15, 20, 26];

// GF(256) with x^8 + x^4 + x^3 + x^2 + 1.
const EXP = [];
const LOG = [];
for (let power = 0, value = 1; power < 255; power += 1) {
  [EXP[power], LOG[value]] = [value, power];
  value = value & 128 ? (value << 1) ^ 285 : value << 1;
}
const times = (a, b) => (a && b ? EXP[(LOG[a] + LOG[b]) % 255] : 0);

/** The Reed-Solomon remainder of the data. */
function remainder(data, count) {
  let generator = [1];
  for (let root = 0; root < count; root += 1) {
    const next = [...generator, 0];
    generator.forEach((factor, place) => { next[place + 1] ^= times(factor, EXP[root]); });
    generator = next;
  }
  const rest = [...data, ...Array(count).fill(0)];
  data.forEach((_, place) => {
    const factor = rest[place];
    generator.forEach((other, at) => { rest[place + at] ^= times(factor, other); });
  });
  return rest.slice(data.length);
}

function codewords(text, version) {
  const bytes = new TextEncoder().encode(text);
  const bits = [0, 1, 0, 0];
  const add = (value, count) => { for (let bit = count - 1; bit >= 0; bit -= 1) bits.push((value >> bit) & 1); };
  add(bytes.length, 8);
  bytes.forEach((byte) => add(byte, 8));
  const room = DATA[version - 1] * 8;
  add(0, Math.min(4, room - bits.length));
  add(0, (8 - (bits.length % 8)) % 8);
  for (let pad = 0xec; bits.length < room; pad ^= 0xfd) add(pad, 8);
  const data = [];
  for (let at = 0; at < bits.length; at += 8) data.push(parseInt(bits.slice(at, at + 8).join(''), 2));
  return [...data, ...remainder(data, CHECK[version - 1])];
}

const MASKS = [(x, y) => (x + y) % 2, (x, y) => y % 2, (x) => x % 3, (x, y) => (x + y) % 3, (x, y) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2, (x, y) => ((x * y) % 2) + ((x * y) % 3), (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2, (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2];

/** Level L and the mask, with their BCH code. */
function formatBits(mask) {
  const data = (1 << 3) | mask;
  let rest = data << 10;
  for (let bit = 14; bit >= 10; bit -= 1) if (rest & (1 << bit)) rest ^= 0x537 << (bit - 10);
  return ((data << 10) | rest) ^ 0x5412;
}

/** How hard a picture is to read. */
function penalty(grid) {
  const side = grid.length;
  let sum = 0;
  const columns = grid.map((_, x) => grid.map((row) => row[x]));
  for (const lines of [grid, columns]) {
    for (const line of lines) {
      const text = line.map(Number).join('');
      for (const run of text.match(/0{5,}|1{5,}/g) ?? []) sum += run.length - 2;
      for (let at = 0; at + 11 <= side; at += 1) if (['10111010000', '00001011101'].includes(text.slice(at, at + 11))) sum += 40;
    }
  }
  for (let y = 1; y < side; y += 1) for (let x = 1; x < side; x += 1) if (grid[y][x] === grid[y - 1][x] && grid[y][x] === grid[y][x - 1] && grid[y][x] === grid[y - 1][x - 1]) sum += 3;
  const dark = grid.flat().filter(Boolean).length / (side * side);
  return sum + Math.floor(Math.abs(dark * 20 - 10)) * 10;
}

/** The picture as rows of true (dark) and false; null where the text is too long. */
export function qr(text) {
  const length = new TextEncoder().encode(text).length;
  const version = DATA.findIndex((room) => length + 2 <= room) + 1;
  if (!version) return null;
  const side = 17 + 4 * version;
  const grid = Array.from({ length: side }, () => Array(side).fill(null));
  const put = (x, y, dark) => { if (x >= 0 && y >= 0 && x < side && y < side) grid[y][x] = dark; };
  const square = (cx, cy, reach) => { for (let dy = -reach; dy <= reach; dy += 1) for (let dx = -reach; dx <= reach; dx += 1) { const ring = Math.max(Math.abs(dx), Math.abs(dy)); put(cx + dx, cy + dy, reach === 4 ? ring !== 2 && ring !== 4 : ring !== 1); } };
  [[3, 3], [side - 4, 3], [3, side - 4]].forEach(([x, y]) => square(x, y, 4));
  if (version > 1) square(side - 7, side - 7, 2);
  for (let at = 8; at < side - 8; at += 1) {
    grid[6][at] = at % 2 === 0;
    grid[at][6] = at % 2 === 0;
  }
  const format = (mask) => {
    const bits = formatBits(mask);
    for (let bit = 0; bit < 15; bit += 1) {
      const dark = ((bits >> bit) & 1) === 1;
      put(8, bit < 6 ? bit : bit < 8 ? bit + 1 : side - 15 + bit, dark);
      put(bit < 8 ? side - 1 - bit : bit < 9 ? 7 : 14 - bit, 8, dark);
    }
    put(8, side - 8, true);
  };
  format(0);
  const fixed = grid.map((row) => row.map((cell) => cell !== null));
  const bits = codewords(text, version).flatMap((word) => [7, 6, 5, 4, 3, 2, 1, 0].map((bit) => ((word >> bit) & 1) === 1));
  let next = 0;
  for (let right = side - 1; right > 0; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < side; step += 1) {
      const y = ((right + 1) & 2) === 0 ? side - 1 - step : step;
      for (const x of [right, right - 1]) if (!fixed[y][x]) grid[y][x] = bits[next++] ?? false;
    }
  }
  const masked = (mask) => {
    format(mask);
    return grid.map((row, y) => row.map((cell, x) => (fixed[y][x] ? cell : cell !== (MASKS[mask](x, y) === 0))));
  };
  const all = MASKS.map((_, mask) => masked(mask));
  return all.reduce((best, other) => (penalty(other) < penalty(best) ? other : best));
}

export function Qr({ text, label }) {
  const rows = qr(text);
  if (!rows) return null;
  const side = rows.length;
  const path = rows.map((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : '')).join('')).join('');
  return html`<svg class="qr" viewBox=${`-4 -4 ${side + 8} ${side + 8}`} role="img" aria-label=${label} shape-rendering="crispEdges"><rect x="-4" y="-4" width=${side + 8} height=${side + 8} fill="#fff" /><path d=${path} fill="#000" /></svg>`;
}
