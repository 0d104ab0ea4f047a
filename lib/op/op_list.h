/* Every operator, one row each. */
OP(Conv)
OP(ConvTranspose)
