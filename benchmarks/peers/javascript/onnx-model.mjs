/**
 * The smallest ONNX model of a linear layer, written by hand: one Gemm node with constant weight and bias.
 *
 * ONNX is protobuf: each field is its number and wire type in a varint, then a varint (type 0) or a length and bytes (type 2). Field
 * numbers are those of onnx.proto.
 */

/** weight: (inFeatures, outFeatures), bias: (outFeatures) → the bytes of a model with `input` (rows, inFeatures) and `output`. */
export function linearModel(inFeatures, outFeatures, weight, bias) {
  const node = message(1, [
    ...['input', 'weight', 'bias'].flatMap(name => message(1, text(name))),
    ...message(2, text('output')),
    ...message(4, text('Gemm')),
  ]);
  const graph = concat([
    node,
    message(2, text('linear')),
    lengthDelimited(5, tensor('weight', [inFeatures, outFeatures], weight)),
    lengthDelimited(5, tensor('bias', [outFeatures], bias)),
    message(11, valueInfo('input', ['rows', inFeatures])),
    message(12, valueInfo('output', ['rows', outFeatures])),
  ]);
  const opset17 = message(8, integer(2, 17));
  return concat([integer(1, 8 /* version of the format */), lengthDelimited(7, graph), opset17]);
}

const float = 1;

function tensor(name, dims, values) {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return concat([
    dims.flatMap(extent => integer(1, extent)),
    integer(2, float),
    message(8, text(name)),
    lengthDelimited(9, bytes),
  ]);
}

function valueInfo(name, dims) {
  const shape = dims.flatMap(extent =>
    message(1, typeof extent === 'number' ? integer(1, extent) : message(2, text(extent))),
  );
  const type = message(1, [...integer(1, float), ...message(2, shape)]);
  return [...message(1, text(name)), ...message(2, type)];
}

const text = string => [...new TextEncoder().encode(string)];

function varint(value) {
  const bytes = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return [...bytes, rest];
}

const integer = (field, value) => [...varint(field * 8), ...varint(value)];
const message = (field, bytes) => [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes];
/** The same for megabytes, which must not be spread into arguments. */
const lengthDelimited = (field, bytes) => concat([varint(field * 8 + 2), varint(bytes.length), bytes]);

function concat(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
