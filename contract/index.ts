export * from './checkpoint.ts';
export * from './config.ts';
export * from './encoder-inputs.ts';
export * from './errors.ts';
export * from './generation.ts';
export * from './kernels.ts';
export * from './model.ts';
export * from './tensor.ts';
